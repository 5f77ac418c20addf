//! Owns the devices of a host: inventory, calibration, placement costs and events. It knows
//! neither columns nor plans.
