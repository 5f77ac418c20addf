//! The device of a segment, with the reason.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use windlass_device::{
    Backend, Device, DeviceClass, DeviceError, DeviceName, DeviceSpec, fault::FaultPlan,
    spec::SpecItem,
};
use windlass_kernels::KernelError;
use windlass_runtime::{Cost, DeviceGroup};

use super::{DeviceSet, Estimate, PlacementOptions, estimate::Figures};
use crate::nodes::upload::DEVICE_ROWS;

/// CPU milliseconds below which no device is opened for a segment. A guess: looking for
/// GPUs, opening one and compiling the first kernels takes longer than this saves.
const LEAST_CPU_MS: f64 = 100.0;

/// Share of the CPU's estimate that a device must stay under. The model is right within a
/// factor of two, and a device that is hardly faster is not worth its memory.
const MARGIN: f64 = 0.7;

/// The name of the CPU's twins among estimates; `cpu` alone is DataFusion's operator.
const TWIN: &str = "cpu twin";

/// Share of DataFusion's estimate that a twin must stay under: both run on the same cores,
/// so the estimates' ratio is better known than a GPU's.
const TWIN_MARGIN: f64 = 0.9;

/// CPU milliseconds below which the twin is not looked at: nothing to gain.
const LEAST_TWIN_MS: f64 = 1.0;

/// The choice for a segment.
pub(super) struct Choice {
    /// `None`: DataFusion's operators.
    pub(super) device: Option<Arc<dyn Device>>,
    /// The devices that it shares the batches with, where it can.
    pub(super) group: Option<Arc<DeviceGroup>>,
    pub(super) estimates: Vec<Estimate>,
    pub(super) reason: String,
    /// Whether the device cannot run the segment at all, so that a part of it may still do.
    pub(super) unsupported: bool,
}

/// Whether a device can run the operators in question, from its features and limits.
pub(super) type Supported<'a> = &'a dyn Fn(&dyn Device) -> Result<(), KernelError>;

fn estimate(device: String, cost: Cost) -> Estimate {
    Estimate {
        device,
        total_ms: cost.total_ms(),
        transfer_ms: cost.transfer_ms,
        compute_ms: cost.compute_ms,
        launch_ms: cost.launch_ms,
    }
}

/// The devices that the user asked for whatever the cost: the forced one, or software
/// adapters and emulators by name. `None`: cost decides.
fn wanted(devices: &DeviceSet, options: &PlacementOptions) -> Result<Option<Vec<Arc<dyn Device>>>> {
    let inventory = devices.inventory();
    if let Some(name) = &options.force_device {
        if name.backend() == Backend::Cpu {
            return Ok(Some(vec![inventory.cpu().map_err(external)?]));
        }
        let open = inventory.usable().map_err(external)?;
        let forced: Vec<_> = open.into_iter().filter(|d| d.info().name == *name).collect();
        return Ok((!forced.is_empty()).then_some(forced));
    }
    // A name that can be no software device is not opened for this question.
    let maybe = match inventory.spec() {
        DeviceSpec::Auto => false,
        DeviceSpec::List(items) => items.iter().any(|item| {
            let backend = match item {
                SpecItem::One(name) => name.backend(),
                SpecItem::All(backend) | SpecItem::First(backend, _) => *backend,
            };
            matches!(backend, Backend::Wgpu | Backend::CudaEmulated)
        }),
    };
    if !maybe {
        return Ok(None);
    }
    let open = inventory.usable().map_err(external)?;
    let wanted: Vec<_> = open.into_iter().filter(|d| inventory.wants(&**d)).collect();
    Ok((!wanted.is_empty()).then_some(wanted))
}

fn external(e: DeviceError) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// Whether a spec can hold a device other than the host.
fn may_have_gpu(spec: &DeviceSpec) -> bool {
    match spec {
        DeviceSpec::Auto => true,
        DeviceSpec::List(items) => items.iter().any(|i| *i != SpecItem::One(DeviceName::cpu())),
    }
}

/// Why no device but the host is left, where there were some: each was lost.
fn all_lost(devices: &DeviceSet) -> Option<String> {
    let inventory = devices.inventory();
    let opened = inventory.opened();
    let names = opened.iter().map(|d| &d.info().name).filter(|n| n.backend() != Backend::Cpu);
    let lost = |name: &DeviceName| Some(format!("{name} was lost: {}", inventory.lost(name)?));
    let reasons = names.map(lost).collect::<Option<Vec<_>>>()?;
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Chooses. `turn` counts the segments placed so far: several wanted devices take turns.
///
/// # Errors
/// A named device that does not open.
pub(super) fn choose(
    supported: Supported<'_>,
    figures: &Figures,
    devices: &DeviceSet,
    options: &PlacementOptions,
    turn: usize,
) -> Result<Choice> {
    let mut estimates = vec![estimate(DeviceName::cpu().to_string(), figures.cpu)];
    if let Some(wanted) = wanted(devices, options)? {
        return Ok(by_wish(supported, figures, devices, options, (&wanted, turn), estimates));
    }
    let cpu_ms = figures.cpu.total_ms();
    let mut refused = None;
    let mut best: Option<(Arc<dyn Device>, f64)> = None;
    if let Some(cost) = figures.twin
        && cpu_ms >= LEAST_TWIN_MS
    {
        let cpu = devices.inventory().cpu().map_err(external)?;
        if options.force_device.is_none() && supported(&*cpu).is_ok() {
            estimates.push(estimate(TWIN.to_string(), cost));
            if cost.total_ms() < TWIN_MARGIN * cpu_ms {
                best = Some((cpu, cost.total_ms()));
            }
        }
    }
    let why_no_gpu = if let Some(lost) = all_lost(devices) {
        Some(lost)
    } else if options.force_device.is_some() {
        Some("the forced device is out of use or not in the spec".to_string())
    } else if !may_have_gpu(devices.inventory().spec()) {
        Some("no other device in the spec".to_string())
    } else if figures.rows.is_none() {
        Some("the number of its rows is not known".to_string())
    } else if cpu_ms < LEAST_CPU_MS {
        let rows = figures.rows.unwrap_or_default();
        Some(format!(
            "few rows ({rows}): about {cpu_ms:.1} ms on the CPU, too little to open a device for"
        ))
    } else {
        None
    };
    if why_no_gpu.is_none() {
        for device in devices.inventory().usable().map_err(external)? {
            if device.info().class != DeviceClass::Real {
                continue;
            }
            if let Err(e) = supported(&*device) {
                refused = Some(e.to_string());
                continue;
            }
            let rates = match devices.inventory().calibrations().get(&*device) {
                Ok(rates) => rates,
                Err(e) => {
                    refused = Some(e.to_string());
                    continue;
                }
            };
            let cost = figures.on(&rates, device.info().class);
            estimates.push(estimate(device.info().name.to_string(), cost));
            let limit = best.as_ref().map_or(MARGIN * cpu_ms, |(_, ms)| *ms);
            if cost.total_ms() < limit {
                best = Some((device, cost.total_ms()));
            }
        }
    }
    if let Some((device, ms)) = best {
        let reason = match device.info().class {
            DeviceClass::Host => {
                format!(
                    "the twin is estimated at {:.0}% of DataFusion's operator",
                    ms / cpu_ms * 100.0
                )
            }
            _ => format!("estimated {ms:.1} ms against {cpu_ms:.1} ms on the CPU"),
        };
        let group = match device.info().class {
            DeviceClass::Real => shared(supported, figures, devices, &estimates, ms)?,
            _ => None,
        };
        let reason = match &group {
            Some((_, shared_ms)) => format!("{reason}, {shared_ms:.1} ms on all devices"),
            None => reason,
        };
        let group = group.map(|(group, _)| group);
        return Ok(Choice { device: Some(device), group, estimates, reason, unsupported: false });
    }
    let cheapest = estimates[1..].iter().min_by(|a, b| a.total_ms.total_cmp(&b.total_ms));
    let (reason, unsupported) = match (cheapest, refused, why_no_gpu) {
        (Some(e), _, Some(reason)) if e.device == TWIN => {
            let share = e.total_ms / cpu_ms * 100.0;
            let twin = format!("the twin is estimated at {share:.0}% of DataFusion's operator");
            (format!("{twin}; {reason}"), false)
        }
        (_, _, Some(reason)) => (reason, false),
        (Some(e), _, _) => {
            let reason = format!(
                "estimated {cpu_ms:.1} ms on the CPU, {:.1} ms on {}",
                e.total_ms, e.device
            );
            (reason, false)
        }
        (None, Some(reason), None) => (reason, true),
        (None, None, None) => ("no GPU on this host".to_string(), false),
    };
    Ok(Choice { device: None, group: None, estimates, reason, unsupported })
}

/// The choice where the user named the device.
fn by_wish(
    supported: Supported<'_>,
    figures: &Figures,
    devices: &DeviceSet,
    options: &PlacementOptions,
    (wanted, turn): (&[Arc<dyn Device>], usize),
    mut estimates: Vec<Estimate>,
) -> Choice {
    let mut reason = String::new();
    for i in 0..wanted.len() {
        let device = &wanted[(turn + i) % wanted.len()];
        let info = device.info();
        if let Some(why) = devices.inventory().lost(&info.name) {
            reason = format!("{} was lost: {why}", info.name);
            continue;
        }
        if let Err(e) = supported(&**device) {
            reason = e.to_string();
            continue;
        }
        // Measuring makes calls of its own, which planned faults are not meant for.
        let faulty = devices.inventory().options().faults != FaultPlan::default();
        if info.class != DeviceClass::Host
            && !faulty
            && let Ok(rates) = devices.inventory().calibrations().get(&**device)
        {
            estimates.push(estimate(info.name.to_string(), figures.on(&rates, info.class)));
        }
        let group = match wanted {
            [_] => None,
            // What does not open was told already.
            _ => group_of(supported, devices).ok().flatten(),
        };
        let reason = match options.force_device {
            Some(_) => format!("forced to {}", info.name),
            None => format!("{} was named", info.name),
        };
        let device = Some(Arc::clone(device));
        return Choice { device, group, estimates, reason, unsupported: false };
    }
    Choice { device: None, group: None, estimates, reason, unsupported: true }
}

/// The devices that can share the batches of the operators in question: all of the spec that
/// are in use, at least two.
fn group_of(
    supported: Supported<'_>,
    devices: &DeviceSet,
) -> Result<Option<Arc<DeviceGroup>>, DeviceError> {
    let inventory = devices.inventory();
    let Some(group) = inventory.group()? else { return Ok(None) };
    let lost = |d: &Arc<dyn Device>| inventory.lost(&d.info().name).is_some();
    let all = group.devices().all(|d| lost(d) || supported(&**d).is_ok());
    Ok(all.then_some(group))
}

/// The GPUs together, with the milliseconds that they are estimated to take, where there is a
/// batch for each of them and that is much sooner than `alone`, the milliseconds of the best.
fn shared(
    supported: Supported<'_>,
    figures: &Figures,
    devices: &DeviceSet,
    estimates: &[Estimate],
    alone: f64,
) -> Result<Option<(Arc<DeviceGroup>, f64)>> {
    let Some(group) = group_of(supported, devices).map_err(external)? else { return Ok(None) };
    let of = |d: &Arc<dyn Device>| {
        let name = d.info().name.to_string();
        estimates.iter().find(|e| e.device == name).map(|e| e.total_ms)
    };
    let Some(each) = group.devices().map(of).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let enough = figures.rows.is_some_and(|rows| rows >= (each.len() * DEVICE_ROWS) as u64);
    let together = 1.0 / each.iter().map(|ms| 1.0 / ms.max(1e-6)).sum::<f64>();
    Ok((enough && together < MARGIN * alone).then_some((group, together)))
}
