//! Sums of products of any number of arrays, as their subscripts say, two arrays at a time:
//! in the order of the fewest multiplications for a few arrays, else the cheapest pair first.

use super::contract::{Labels, contract};
use crate::{
    Array, DType,
    error::{ArrayError, Result},
    shape::ArrayShape,
};

/// Letters are labels from 0 on; the axes of an ellipsis are labels behind them, from the last.
const LETTERS: usize = 52;
/// Up to so many operands all orders are compared (a stated guess: 3^10 steps are little).
const ORDERED: usize = 10;

/// An operand, and a label for each of its axes.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    pub(crate) array: Array,
    pub(crate) labels: Vec<usize>,
}

fn wrong(expected: impl Into<String>, got: impl Into<String>) -> ArrayError {
    let (expected, got) = (expected.into(), got.into());
    ArrayError::Argument { operation: "einsum", argument: "subscripts", expected, got }
}

/// The labels of some subscripts of an operand of that rank (`None`: of the result), where the
/// longest ellipsis has `dots` axes.
fn labels(text: &str, rank: Option<usize>, dots: usize) -> Result<Vec<usize>> {
    let parts: Vec<&str> = text.split("...").collect();
    let letter = |c: char| match c {
        'a'..='z' => Ok(c as usize - 'a' as usize + 26),
        'A'..='Z' => Ok(c as usize - 'A' as usize),
        other => {
            Err(wrong("letters, `...`, commas and one `->`", format!("{other:?} in {text:?}")))
        }
    };
    let of = |part: &str| part.chars().map(letter).collect::<Result<Vec<_>>>();
    let fits = |letters: usize, open: bool| match rank {
        Some(rank) if rank == letters || (open && rank > letters) => Ok(rank - letters),
        Some(rank) => {
            let labels = if open { "at most as many labels" } else { "as many labels" };
            Err(wrong(format!("{labels} as axes"), format!("{text:?} for rank {rank}")))
        }
        None => Ok(dots),
    };
    match &parts[..] {
        [all] => {
            let all = of(all)?;
            if rank.is_some() {
                fits(all.len(), false)?;
            }
            Ok(all)
        }
        [before, behind] => {
            let (before, behind) = (of(before)?, of(behind)?);
            let count = fits(before.len() + behind.len(), true)?;
            Ok([before, (0..count).rev().map(|i| LETTERS + i).collect(), behind].concat())
        }
        _ => Err(wrong("at most one `...` an operand", format!("{text:?}"))),
    }
}

/// The labels of each operand and of the result.
pub(crate) fn parse(text: &str, ranks: &[usize]) -> Result<(Vec<Vec<usize>>, Vec<usize>)> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match text.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (&text[..], None),
    };
    let inputs: Vec<&str> = inputs.split(',').collect();
    if inputs.len() != ranks.len() {
        let got = format!("{} in {text:?}", inputs.len());
        return Err(wrong(format!("labels for {} operands", ranks.len()), got));
    }
    let found: Vec<Vec<usize>> = inputs
        .iter()
        .zip(ranks)
        .map(|(t, rank)| labels(t, Some(*rank), 0))
        .collect::<Result<_>>()?;
    let dots = found.iter().flatten().filter_map(|l| (l + 1).checked_sub(LETTERS)).max();
    let dots = dots.unwrap_or(0);
    let times = |l: usize| found.iter().flatten().filter(|x| **x == l).count();
    let ellipsis = (0..dots).rev().map(|i| LETTERS + i);
    let Some(output) = output else {
        // In the order of the alphabet, capital letters first, behind the ellipsis.
        let once = (0..LETTERS).filter(|&l| times(l) == 1);
        let out = ellipsis.chain(once).collect();
        return Ok((found, out));
    };
    let out = labels(output, None, dots)?;
    for (i, &l) in out.iter().enumerate() {
        if times(l) == 0 || out[..i].contains(&l) {
            return Err(wrong(
                "a result of labels of the operands, each once",
                format!("{text:?}"),
            ));
        }
    }
    if dots > 0 && !output.contains("...") {
        return Err(wrong("`...` in the result, as operands have it", format!("{text:?}")));
    }
    Ok((found, out))
}

/// An array with each label once: those that it repeats are diagonals.
fn without_repeats(mut of: Labelled) -> Result<Labelled> {
    while let Some((i, j)) = repeated(&of.labels) {
        let shape = of.array.shape();
        if shape[i] != shape[j] {
            return Err(wrong("axes of one length for a repeated label", shape.to_string()));
        }
        of.array = of.array.diagonal(0, i as isize, j as isize)?;
        let label = of.labels.remove(j);
        of.labels.remove(i);
        of.labels.push(label);
    }
    Ok(of)
}

fn repeated(labels: &[usize]) -> Option<(usize, usize)> {
    let pair = |j: usize| Some((labels[..j].iter().position(|l| *l == labels[j])?, j));
    (0..labels.len()).find_map(pair)
}

/// The sum over the axes whose labels are not kept, in the operand's type.
fn summed(of: Labelled, keep: impl Fn(usize) -> bool) -> Result<Labelled> {
    let axes: Vec<isize> =
        (0..of.labels.len()).filter(|&i| !keep(of.labels[i])).map(|i| i as isize).collect();
    if axes.is_empty() {
        return Ok(of);
    }
    let dtype = of.array.dtype();
    let array = match dtype {
        DType::Bool => of.array.any(axes)?,
        _ => of.array.sum(axes)?.astype(dtype),
    };
    Ok(Labelled { array, labels: of.labels.into_iter().filter(|l| keep(*l)).collect() })
}

/// An array with its axes as the labels say: those that it lacks have length 1.
fn ordered(of: &Labelled, labels: &[usize]) -> Result<Array> {
    let place = |l: &usize| of.labels.iter().position(|x| x == l);
    let order: Vec<isize> = labels.iter().filter_map(place).map(|i| i as isize).collect();
    let mut array = of.array.permute(&order)?;
    for (i, l) in labels.iter().enumerate() {
        if place(l).is_none() {
            array = array.expand_dims(i as isize)?;
        }
    }
    Ok(array)
}

/// Without the axes of length 1 whose labels the other one has longer.
fn narrowed(of: Labelled, other: &Labelled) -> Result<Labelled> {
    let longer = |l: usize| {
        let at = other.labels.iter().position(|x| *x == l);
        at.is_some_and(|i| other.array.shape()[i] != 1)
    };
    let single: Vec<isize> = (0..of.labels.len())
        .filter(|&i| of.array.shape()[i] == 1 && longer(of.labels[i]))
        .map(|i| i as isize)
        .collect();
    let array = of.array.squeeze_axes(&single)?;
    let kept = of.labels.iter().enumerate().filter(|(i, _)| !single.contains(&(*i as isize)));
    Ok(Labelled { array, labels: kept.map(|(_, l)| *l).collect() })
}

/// The product of two arrays of one type, summed over the labels that are not in the result.
pub(crate) fn pair(name: &'static str, a: Labelled, b: Labelled, out: &[usize]) -> Result<Array> {
    let (a, b) = (narrowed(a.clone(), &b)?, narrowed(b, &a)?);
    let a_has = a.labels.clone();
    let b_has = b.labels.clone();
    let a = summed(a, |l| out.contains(&l) || b_has.contains(&l))?;
    let b = summed(b, |l| out.contains(&l) || a_has.contains(&l))?;
    let shared = |l: &&usize| b.labels.contains(l);
    let free =
        |of: &Labelled, other: &Labelled| of.labels.iter().any(|l| !other.labels.contains(l));
    let inner: Vec<usize> =
        a.labels.iter().filter(shared).copied().filter(|l| !out.contains(l)).collect();
    if inner.is_empty() || (!free(&a, &b) && !free(&b, &a)) {
        // Each product has one place in the result, or each matrix one element.
        let all = [out, &inner].concat();
        let (a, b) = (ordered(&a, &all)?, ordered(&b, &all)?);
        let products = Labelled { array: a.multiply(&b)?, labels: all };
        return Ok(summed(products, |l| out.contains(&l))?.array);
    }
    let labels = Labels { a: a.labels, b: b.labels, out: out.to_vec() };
    contract(name, &a.array, &b.array, labels)
}

/// Multiplications of a product of operands with these labels.
fn cost(labels: impl Iterator<Item = usize>, lens: &[usize]) -> f64 {
    let mut seen = vec![false; lens.len()];
    labels.fold(
        1.0,
        |n, l| if std::mem::replace(&mut seen[l], true) { n } else { n * lens[l] as f64 },
    )
}

/// The labels of a set of operands that others or the result need.
fn needed(set: usize, of: &[Vec<usize>], out: &[usize]) -> Vec<usize> {
    let within = |l: usize, inside: bool| {
        of.iter()
            .enumerate()
            .any(|(i, labels)| (set >> i & 1 == 1) == inside && labels.contains(&l))
    };
    let mut found: Vec<usize> = of.iter().flatten().copied().filter(|&l| within(l, true)).collect();
    found.sort_unstable();
    found.dedup();
    found.retain(|&l| out.contains(&l) || within(l, false));
    found
}

/// The best order of products: for each set of operands what it is split into.
fn best_order(of: &[Vec<usize>], out: &[usize], lens: &[usize]) -> Vec<usize> {
    let all = (1_usize << of.len()) - 1;
    let kept: Vec<Vec<usize>> = (0..=all).map(|set| needed(set, of, out)).collect();
    let mut best = vec![(f64::INFINITY, 0); all + 1];
    for set in 1..=all {
        if set.count_ones() == 1 {
            best[set] = (0.0, 0);
            continue;
        }
        let mut part = (set - 1) & set;
        while part > 0 {
            let rest = set & !part;
            if part > rest {
                let own = cost(kept[part].iter().chain(&kept[rest]).copied(), lens);
                let sum = best[part].0 + best[rest].0 + own;
                if sum < best[set].0 {
                    best[set] = (sum, part);
                }
            }
            part = (part - 1) & set;
        }
    }
    best.into_iter().map(|b| b.1).collect()
}

/// The product of a set of operands in the order that was chosen.
fn product(
    set: usize,
    of: &[Labelled],
    splits: &[usize],
    kept: &dyn Fn(usize) -> Vec<usize>,
) -> Result<Labelled> {
    if set.count_ones() == 1 {
        return Ok(of[set.trailing_zeros() as usize].clone());
    }
    let (part, rest) = (splits[set], set & !splits[set]);
    let (a, b) = (product(part, of, splits, kept)?, product(rest, of, splits, kept)?);
    let labels = kept(set);
    Ok(Labelled { array: pair("einsum", a, b, &labels)?, labels })
}

/// One product of all: the cheapest pair first, until as few are left as all orders are tried
/// for.
fn fewer(mut of: Vec<Labelled>, out: &[usize], lens: &[usize]) -> Result<Vec<Labelled>> {
    while of.len() > ORDERED {
        let pairs = (0..of.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let price = |&(i, j): &(usize, usize)| {
            cost(of[i].labels.iter().chain(&of[j].labels).copied(), lens)
        };
        let cheapest = pairs.min_by(|x, y| price(x).total_cmp(&price(y)));
        let (i, j) = cheapest.expect("there are several");
        let (a, b) = (of.remove(i), of.remove(j));
        let others = |l: usize| of.iter().any(|o| o.labels.contains(&l));
        let mut labels = [&a.labels[..], &b.labels].concat();
        labels.sort_unstable();
        labels.dedup();
        labels.retain(|&l| out.contains(&l) || others(l));
        let array = pair("einsum", a, b, &labels)?;
        of.push(Labelled { array, labels });
    }
    Ok(of)
}

/// The length of each label's axis.
fn lengths(of: &[Labelled]) -> Result<Vec<usize>> {
    let count = of.iter().flat_map(|o| &o.labels).max().map_or(0, |m| m + 1);
    let mut lens = vec![1; count];
    for o in of {
        for (&l, &n) in o.labels.iter().zip(o.array.shape().as_slice()) {
            if lens[l] == 1 {
                lens[l] = n;
            } else if n != 1 && n != lens[l] {
                let shapes = of.iter().map(|o| o.array.shape().to_string()).collect::<Vec<_>>();
                return Err(ArrayError::Shape {
                    operation: "einsum",
                    expected: "one length (or 1) of all axes with the same label".into(),
                    got: shapes.join(", "),
                });
            }
        }
    }
    Ok(lens)
}

/// The sums of products that labels say, of arrays of one type.
pub(crate) fn einsum(of: Vec<Labelled>, out: &[usize]) -> Result<Array> {
    let of = of.into_iter().map(without_repeats).collect::<Result<Vec<_>>>()?;
    let lens = lengths(&of)?;
    let of = fewer(of, out, &lens)?;
    let all: Vec<Vec<usize>> = of.iter().map(|o| o.labels.clone()).collect();
    let splits = best_order(&all, out, &lens);
    let last = (1 << of.len()) - 1;
    let kept = |set: usize| if set == last { out.to_vec() } else { needed(set, &all, out) };
    let found = product(last, &of, &splits, &kept)?;
    let found = summed(found, |l| out.contains(&l))?;
    let array = ordered(&found, out)?;
    let wide = ArrayShape::new(out.iter().map(|&l| lens[l]).collect::<Vec<_>>());
    if *array.shape() == wide { Ok(array) } else { array.broadcast_to(wide) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscripts_are_numpys() {
        let (inputs, out) = parse("ij, jk -> ik", &[2, 2]).unwrap();
        assert_eq!((inputs, out), (vec![vec![34, 35], vec![35, 36]], vec![34, 36]));
        // Implicit: what comes once, in the order of the alphabet.
        assert_eq!(parse("ba", &[2]).unwrap().1, [26, 27]);
        assert!(parse("ii", &[2]).unwrap().1.is_empty());
        let (inputs, out) = parse("...i,i...", &[3, 2]).unwrap();
        assert_eq!((inputs, out), (vec![vec![53, 52, 34], vec![34, 52]], vec![53, 52]));
        for (text, ranks) in [
            ("ij->k", &[2][..]),
            ("ij->ii", &[2]),
            ("ij", &[3]),
            ("i,j", &[1]),
            ("i!", &[2]),
            ("...i->i", &[2]),
            ("......", &[2]),
            ("...ij", &[1]),
        ] {
            let error = parse(text, ranks).unwrap_err().to_string();
            assert!(error.starts_with("einsum: subscripts"), "{error}");
        }
    }

    #[test]
    fn the_cheapest_order_is_found() {
        // (1000, 2) (2, 1000) (1000, 2): the last two first.
        let of = [vec![0, 1], vec![1, 2], vec![2, 3]];
        let splits = best_order(&of, &[0, 3], &[1000, 2, 1000, 2]);
        assert!(splits[0b111] == 0b110 || splits[0b111] == 0b001, "{:b}", splits[0b111]);
    }
}
