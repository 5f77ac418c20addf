//! The order of a group's rows, in which one of them is picked.

use crate::ir::ValueId;

/// Most keys of an [`Order`], a guess at what queries have: plans hold them in place.
pub const MAX_ORDER_KEYS: usize = 4;

/// One key of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderKey {
    /// Its value in each row, of any type; floats in totalOrder.
    pub value: ValueId,
    /// Largest value first.
    pub descending: bool,
    /// Nulls before all values, whatever the direction; else after them.
    pub nulls_first: bool,
}

/// An order of rows, the first key deciding first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Order([Option<OrderKey>; MAX_ORDER_KEYS]);

impl Order {
    /// `None` for more keys than [`MAX_ORDER_KEYS`].
    pub fn new(keys: &[OrderKey]) -> Option<Self> {
        let mut order = Self::default();
        order.0.get_mut(..keys.len())?.iter_mut().zip(keys).for_each(|(to, k)| *to = Some(*k));
        Some(order)
    }

    /// Its keys, as they are held.
    pub(crate) fn slots(self) -> [Option<OrderKey>; MAX_ORDER_KEYS] {
        self.0
    }

    /// Its keys.
    pub fn keys(self) -> impl Iterator<Item = OrderKey> {
        self.0.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_in_order_and_too_many_are_refused() {
        let key = |n| OrderKey { value: ValueId(n), descending: n == 1, nulls_first: false };
        let keys: Vec<_> = (0..MAX_ORDER_KEYS as u32).map(key).collect();
        for n in 0..=MAX_ORDER_KEYS {
            let order = Order::new(&keys[..n]).unwrap();
            assert_eq!(order.keys().collect::<Vec<_>>(), keys[..n]);
        }
        assert!(Order::new(&[key(0); MAX_ORDER_KEYS + 1]).is_none());
    }
}
