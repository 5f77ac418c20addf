//! Lines of elements, each of its own length: what a sort passes between its tasks.

use std::{
    io::{self, Read, Write},
    ops::Range,
};

use windlass_runtime::graph::Spill;

use super::leaf::Assembly;
use crate::{
    element::{Buf, Element, dispatch},
    reduce::extremes::{Ordered, order},
    shape::ArrayShape,
    tile::{Tile, read_buf, read_word, write_buf, write_words},
};

/// Some lines, one behind the other, and where each element stood if that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) values: Buf,
    places: Option<Vec<i64>>,
    /// Where each line ends.
    ends: Vec<usize>,
}

impl Lines {
    pub(crate) fn new<T: Element>(places: bool) -> Self {
        Self { values: T::wrap(Vec::new()), places: places.then(Vec::new), ends: Vec::new() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn bounds(&self, row: usize) -> (usize, usize) {
        (if row == 0 { 0 } else { self.ends[row - 1] }, self.ends[row])
    }

    pub(crate) fn len(&self, row: usize) -> usize {
        let (begin, end) = self.bounds(row);
        end - begin
    }

    pub(crate) fn row<T: Element>(&self, row: usize) -> &[T] {
        let (begin, end) = self.bounds(row);
        &self.values.typed::<T>()[begin..end]
    }

    pub(crate) fn row_places(&self, row: usize) -> &[i64] {
        let (begin, end) = self.bounds(row);
        self.places.as_ref().map_or(&[], |p| &p[begin..end])
    }

    /// Another line.
    pub(crate) fn push<T: Element>(&mut self, line: impl Iterator<Item = (T, i64)>) {
        for (value, place) in line {
            self.values.typed_mut::<T>().push(value);
            if let Some(places) = &mut self.places {
                places.push(place);
            }
        }
        self.end_row();
    }

    /// Elements of another's line behind what the open line has.
    pub(crate) fn add<T: Element>(&mut self, of: &Self, row: usize, range: Range<usize>) {
        self.values.typed_mut::<T>().extend_from_slice(&of.row::<T>(row)[range.clone()]);
        if let Some(places) = &mut self.places {
            places.extend_from_slice(&of.row_places(row)[range]);
        }
    }

    /// Ends the open line.
    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.values.len());
    }

    /// A line of elements of another's.
    pub(crate) fn extend<T: Element>(&mut self, of: &Self, row: usize, range: Range<usize>) {
        self.add::<T>(of, row, range);
        self.end_row();
    }

    /// Brings every line into order, equal elements as they stand.
    pub(crate) fn sort(&mut self) {
        let ends = &self.ends;
        dispatch!(self.values.dtype(), T => {
            let mut begin = 0;
            for &end in ends {
                let line = &mut self.values.typed_mut::<T>()[begin..end];
                match &mut self.places {
                    None => sort_line(line),
                    Some(places) => sort_with::<T>(line, &mut places[begin..end]),
                }
                begin = end;
            }
        });
    }

    /// Several with as many sorted lines as one, equal elements in their order.
    pub(crate) fn merged(parts: &[&Self]) -> Self {
        dispatch!(parts[0].values.dtype(), T => {
            let mut found = Self::new::<T>(parts[0].places.is_some());
            for row in 0..parts[0].rows() {
                let begin = found.values.len();
                for part in parts {
                    found.add::<T>(part, row, 0..part.len(row));
                }
                // A stable sort merges the runs that are there.
                let line = &mut found.values.typed_mut::<T>()[begin..];
                match &mut found.places {
                    None => line.sort_by(order::<T>),
                    Some(places) => sort_with::<T>(line, &mut places[begin..]),
                }
                found.end_row();
            }
            found
        })
    }
}

/// Brings elements into order, NaN last.
pub(crate) fn sort_line<T: Ordered>(line: &mut [T]) {
    T::sort(line);
}

/// As [`sort_line`], equal elements as they stand, with numbers that go with them.
fn sort_with<T: Ordered>(line: &mut [T], places: &mut [i64]) {
    let mut both: Vec<(T, i64)> = line.iter().copied().zip(places.iter().copied()).collect();
    both.sort_by(|a, b| order::<T>(&a.0, &b.0));
    for (i, (v, p)) in both.into_iter().enumerate() {
        (line[i], places[i]) = (v, p);
    }
}

/// The lines of a tile along an axis; with their positions, counted from the first one's, if
/// there is one.
pub(crate) fn to_lines(tile: &Tile, axis: usize, first: Option<i64>) -> Lines {
    let (mut lens, mut strides) = (tile.shape().as_slice().to_vec(), tile.strides().to_vec());
    let (n, step) = (lens.remove(axis), strides.remove(axis));
    lens.push(n);
    strides.push(step);
    let turned = tile.with_layout(tile.offset(), ArrayShape::new(lens.clone()), strides);
    let mut own = Assembly::with_lens(tile.dtype(), lens.clone());
    own.put_at(&turned, &vec![0; lens.len()]);
    let rows = lens[..lens.len() - 1].iter().product::<usize>();
    let places = first.map(|f| (0..rows).flat_map(|_| f..f + n as i64).collect());
    Lines { values: own.into_buf(), places, ends: (1..=rows).map(|r| r * n).collect() }
}

/// The tile of that shape whose lines along an axis they are, or their positions.
pub(crate) fn from_lines(lines: Lines, axis: usize, lens: &[usize], places: bool) -> Tile {
    let mut turned = lens.to_vec();
    let n = turned.remove(axis);
    turned.push(n);
    let buf = match (places, lines.places) {
        (true, Some(places)) => Buf::I64(places),
        _ => lines.values,
    };
    let dense = Tile::dense(buf, ArrayShape::new(turned));
    let mut strides = dense.strides().to_vec();
    if let Some(last) = strides.pop() {
        strides.insert(axis, last);
    }
    dense.with_layout(dense.offset(), ArrayShape::new(lens.to_vec()), strides).to_own_memory()
}

impl Spill for Lines {
    fn bytes(&self) -> u64 {
        let places = self.places.as_ref().map_or(0, Vec::len);
        (self.values.len() * self.values.dtype().bytes() + 8 * (places + self.ends.len())) as u64
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        write_words(to, &self.ends)?;
        write_words(to, &[usize::from(self.places.is_some())])?;
        write_buf(to, &self.values, 0, self.values.len())?;
        match &self.places {
            Some(places) => write_buf(to, &Buf::I64(places.clone()), 0, places.len()),
            None => Ok(()),
        }
    }

    fn read(from: &mut dyn Read) -> io::Result<Self> {
        let rows = read_word(from)?;
        let ends = (0..rows).map(|_| read_word(from)).collect::<io::Result<_>>()?;
        let (_, has_places) = (read_word(from)?, read_word(from)?);
        let values = read_buf(from)?;
        let places = match has_places {
            0 => None,
            _ => match read_buf(from)? {
                Buf::I64(places) => Some(places),
                _ => return Err(io::Error::other("positions are integers")),
            },
        };
        Ok(Self { values, places, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_and_go() {
        let tile = Tile::new(vec![3_i32, 1, 2, 6, 5, 4], [3, 2]).unwrap();
        let mut lines = to_lines(&tile, 0, Some(10));
        lines.sort();
        assert_eq!(lines.row::<i32>(0), [2, 3, 5]);
        assert_eq!(lines.row_places(1), [10, 12, 11]);
        let mut bytes = Vec::new();
        Spill::write(&lines, &mut bytes).unwrap();
        let back = Lines::read(&mut &bytes[..]).unwrap();
        let sorted = from_lines(back, 0, &[3, 2], false);
        assert_eq!(sorted.to_array::<i32>().unwrap().as_slice(), Some(&[2, 1, 3, 4, 5, 6][..]));
    }

    #[test]
    fn merged_lines_keep_equal_elements_in_order() {
        let mut a = Lines::new::<f64>(true);
        a.push([(1.0, 0), (2.0, 1), (f64::NAN, 2)].into_iter());
        let mut b = Lines::new::<f64>(true);
        b.push([(1.0, 3), (1.5, 4)].into_iter());
        let both = Lines::merged(&[&a, &b]);
        assert_eq!(both.row_places(0), [0, 3, 4, 1, 2]);
    }
}
