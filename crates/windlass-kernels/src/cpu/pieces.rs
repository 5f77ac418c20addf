//! Loops over columns in pieces that cores share.

use std::mem::MaybeUninit;

use super::tasks;

/// Items of a piece. At 4 to 8 bytes an item the input and the output of a piece fit a
/// second-level cache of 1 MiB (a stated guess), and its time, tens of microseconds, is many
/// times what handing it to another core takes. Fewer items stay on the calling thread, so
/// that the partitions of a job, which run side by side, do not queue for the shared pool.
pub(crate) const PIECE: usize = 1 << 16;

/// `f` of each item, in order.
pub(crate) fn map<A: Sync, T: Copy + Send>(items: &[A], f: impl Fn(&A) -> T + Sync) -> Vec<T> {
    if items.len() <= PIECE {
        return items.iter().map(f).collect();
    }
    fill(items.len(), PIECE, |start, out| {
        for (out, item) in out.iter_mut().zip(&items[start..]) {
            out.write(f(item));
        }
        out.len()
    })
}

/// `f` of each group of `size` neighbours (the last may be shorter), in order. `size` divides
/// [`PIECE`].
pub(crate) fn map_chunks<A: Sync, T: Copy + Send>(
    items: &[A],
    size: usize,
    f: impl Fn(&[A]) -> T + Sync,
) -> Vec<T> {
    if items.len() <= PIECE {
        return items.chunks(size).map(f).collect();
    }
    fill(items.len().div_ceil(size), PIECE / size, |start, out| {
        for (out, group) in out.iter_mut().zip(items[start * size..].chunks(size)) {
            out.write(f(group));
        }
        out.len()
    })
}

/// `f` of each number less than `n`, in order.
pub(crate) fn tabulate<T: Copy + Send>(n: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if n <= PIECE {
        return (0..n).map(f).collect();
    }
    fill(n, PIECE, |start, out| {
        for (i, out) in out.iter_mut().enumerate() {
            out.write(f(start + i));
        }
        out.len()
    })
}

/// `n` values, of which `write` writes each group of up to `size`, given the number of its
/// first; it is not called for none. Memory that was just freed is not cleared first, which
/// would cost as much as writing it.
pub(crate) fn groups<T: Copy + Send>(
    n: usize,
    size: usize,
    write: impl Fn(usize, &mut Group<'_, T>) + Sync,
) -> Vec<T> {
    fill(n, size, |start, out| {
        let mut group = Group { out, written: 0 };
        write(start, &mut group);
        assert_eq!(group.written, group.out.len(), "the group was written");
        group.written
    })
}

/// Two times `n` values, of which `write` writes each group of up to `size`, given the number of
/// its first.
pub(crate) fn paired_groups<A: Copy + Send, B: Copy + Send>(
    n: usize,
    size: usize,
    write: impl Fn(usize, &mut Group<'_, A>, &mut Group<'_, B>) + Sync,
) -> (Vec<A>, Vec<B>) {
    let (mut a, mut b) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let (left, right) = (&mut a.spare_capacity_mut()[..n], &mut b.spare_capacity_mut()[..n]);
    let one = |start: usize, (left, right): (&mut [MaybeUninit<A>], &mut [MaybeUninit<B>])| {
        let (mut left, mut right) =
            (Group { out: left, written: 0 }, Group { out: right, written: 0 });
        write(start, &mut left, &mut right);
        let all = left.written == left.len() && right.written == right.len();
        assert!(all, "both groups were written");
        left.written
    };
    let written: usize = match n <= size {
        true => one(0, (left, right)),
        false => {
            let groups = left.chunks_mut(size).zip(right.chunks_mut(size));
            tasks::map_of(groups, |i, both| one(i * size, both)).into_iter().sum()
        }
    };
    assert_eq!(written, n, "every group was written");
    // SAFETY: every group has counted as many values written in order as it has places, in both
    // lists, and the groups are all of the `n` places of each.
    unsafe {
        a.set_len(n);
        b.set_len(n);
    }
    (a, b)
}

/// Places of values that are written in order.
pub(crate) struct Group<'a, T> {
    out: &'a mut [MaybeUninit<T>],
    /// Places that have a value.
    written: usize,
}

impl<T: Copy> Group<'_, T> {
    /// Places in all.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// The next `n` places, or as many as are left, each with `value` first.
    pub(crate) fn start(&mut self, n: usize, value: T) -> &mut [T] {
        let places = &mut self.out[self.written..];
        let n = n.min(places.len());
        let places = &mut places[..n];
        for place in &mut *places {
            place.write(value);
        }
        self.written += n;
        // SAFETY: all of them were just written.
        unsafe { places.assume_init_mut() }
    }

    /// Writes the next values, as many as there are places for.
    pub(crate) fn extend(&mut self, values: impl Iterator<Item = T>) {
        let mut written = 0;
        for (out, value) in self.out[self.written..].iter_mut().zip(values) {
            out.write(value);
            written += 1;
        }
        self.written += written;
    }
}

/// `n` values, of which `write` writes each piece of `piece` (the last may be shorter) and
/// returns how many it wrote.
fn fill<T: Copy + Send>(
    n: usize,
    piece: usize,
    write: impl Fn(usize, &mut [MaybeUninit<T>]) -> usize + Sync,
) -> Vec<T> {
    if n == 0 {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(n);
    let places = &mut out.spare_capacity_mut()[..n];
    let written: usize = match n <= piece {
        true => write(0, places),
        false => {
            let pieces = places.chunks_mut(piece);
            tasks::map_of(pieces, |i, out| write(i * piece, out)).into_iter().sum()
        }
    };
    assert_eq!(written, n, "every piece was written");
    // SAFETY: the callers in this module write every element of each piece they are given: they
    // go through it whole, zipped with the items from the piece's start on, of which there are
    // as many, or count what they write in order. An `f` that panics unwinds past here.
    unsafe { out.set_len(n) };
    out
}
