//! Random numbers that take a number of draws which is not known before: gamma, Poisson and
//! binomial. Each position has a stream of its own, so the numbers do not hang on the chunks.
//!
//! Gamma by G. Marsaglia and W. W. Tsang, *A Simple Method for Generating Gamma Variables*
//! (2000). Poisson and binomial of large means by W. Hörmann, *The Transformed Rejection Method
//! for Generating Poisson Random Variables* and *The Generation of Binomial Random Variates*
//! (both 1993); of small ones by adding up exponential waits, and by inversion.

use crate::random::{normal, philox_at, unit};

/// A distribution of which a number may take several draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Drawn {
    /// Of that shape, and scale.
    Gamma { shape: f64, scale: f64 },
    /// Of that mean.
    Poisson { mean: f64 },
    /// So many trials of that share of success.
    Binomial { trials: u64, share: f64 },
}

/// Means from which on counts are drawn by transformed rejection: where the papers say that
/// it holds.
const LARGE: f64 = 10.0;

/// The draws of one position.
struct Stream {
    seed: u64,
    position: u64,
    draw: u64,
}

impl Stream {
    fn pair(&mut self) -> [u64; 2] {
        self.draw += 1;
        philox_at(self.position, self.draw, self.seed)
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        1.0 - unit(self.pair()[0])
    }

    fn units(&mut self) -> [f64; 2] {
        self.pair().map(|w| 1.0 - unit(w))
    }

    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // A gamma of one more, by a power.
            let more = self.gamma(shape + 1.0);
            return more * self.unit().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = normal(self.pair())[0];
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean < LARGE {
            let (mut count, mut left) = (0.0, mean);
            loop {
                left += self.unit().ln();
                if left < 0.0 {
                    return count;
                }
                count += 1.0;
            }
        }
        // PTRS.
        let log = mean.ln();
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let alpha = 1.1239 + 1.1328 / (b - 3.4);
        let edge = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let [u, v] = self.units();
            let u = u - 0.5;
            let near = 0.5 - u.abs();
            let k = ((2.0 * a / near + b) * u + mean + 0.43).floor();
            if near >= 0.07 && v <= edge {
                return k;
            }
            if k < 0.0 || near < 0.013 && v > near {
                continue;
            }
            let bound = (v * alpha / (a / (near * near) + b)).ln();
            if bound <= k * log - mean - ln_factorial(k) {
                return k;
            }
        }
    }

    fn binomial(&mut self, trials: f64, share: f64) -> f64 {
        if share > 0.5 {
            return trials - self.binomial(trials, 1.0 - share);
        }
        if trials * share < LARGE {
            return self.binomial_by_waits(trials, share);
        }
        // BTRS.
        let spread = (trials * share * (1.0 - share)).sqrt();
        let b = 1.15 + 2.53 * spread;
        let a = -0.0873 + 0.0248 * b + 0.01 * share;
        let c = trials * share + 0.5;
        let edge = 0.92 - 4.2 / b;
        let alpha = (2.83 + 5.1 / b) * spread;
        let odds = (share / (1.0 - share)).ln();
        let mode = ((trials + 1.0) * share).floor();
        let top = ln_factorial(mode) + ln_factorial(trials - mode);
        loop {
            let [u, v] = self.units();
            let u = u - 0.5;
            let near = 0.5 - u.abs();
            let k = ((2.0 * a / near + b) * u + c).floor();
            if !(0.0..=trials).contains(&k) {
                continue;
            }
            if near >= 0.07 && v <= edge {
                return k;
            }
            let bound = (v * alpha / (a / (near * near) + b)).ln();
            let at = ln_factorial(k) + ln_factorial(trials - k);
            if bound <= top - at + (k - mode) * odds {
                return k;
            }
        }
    }

    /// The successes among the trials: how many trials go by until each is geometric.
    fn binomial_by_waits(&mut self, trials: f64, share: f64) -> f64 {
        if share <= 0.0 {
            return 0.0;
        }
        let (mut count, mut gone) = (0.0, 0.0);
        let scale = (-share).ln_1p();
        loop {
            gone += (self.unit().ln() / scale).floor() + 1.0;
            if gone > trials {
                return count;
            }
            count += 1.0;
        }
    }
}

/// The logarithm of `k!`: exact products up to 9, beyond by Stirling's series, whose next term
/// is below 1e-10 there.
fn ln_factorial(k: f64) -> f64 {
    if k < 10.0 {
        return (2..=k as u32).map(f64::from).product::<f64>().ln();
    }
    let n = k + 1.0;
    let square = 1.0 / (n * n);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1260.0)) / n;
    (n - 0.5) * n.ln() - n + 0.5 * std::f64::consts::TAU.ln() + series
}

impl Drawn {
    /// The number at a position.
    pub(crate) fn at(self, position: u64, seed: u64) -> f64 {
        let mut stream = Stream { seed, position, draw: 0 };
        match self {
            Self::Gamma { shape, scale } => scale * stream.gamma(shape),
            Self::Poisson { mean } => stream.poisson(mean),
            Self::Binomial { trials, share } => stream.binomial(trials as f64, share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distribution() {
        let n = 100_000;
        for (drawn, mean, variance) in [
            (Drawn::Gamma { shape: 0.5, scale: 2.0 }, 1.0, 2.0),
            (Drawn::Gamma { shape: 7.0, scale: 0.5 }, 3.5, 1.75),
            (Drawn::Poisson { mean: 0.7 }, 0.7, 0.7),
            (Drawn::Poisson { mean: 42.5 }, 42.5, 42.5),
            (Drawn::Binomial { trials: 9, share: 0.3 }, 2.7, 1.89),
            (Drawn::Binomial { trials: 200, share: 0.8 }, 160.0, 32.0),
            (Drawn::Binomial { trials: 1_000_000, share: 1e-6 }, 1.0, 1.0),
        ] {
            let values: Vec<f64> = (0..n).map(|i| drawn.at(i, 11)).collect();
            let m = values.iter().sum::<f64>() / n as f64;
            let v = values.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n as f64;
            // Five standard errors of the mean; of the variance about as many.
            let error = 5.0 * (variance / n as f64).sqrt();
            assert!((m - mean).abs() < error, "{drawn:?}: mean {m}");
            assert!((v / variance - 1.0).abs() < 0.06, "{drawn:?}: variance {v}");
        }
    }

    #[test]
    fn factorials_are_right() {
        let exact = |k: u32| (1..=k).map(|i| f64::from(i).ln()).sum::<f64>();
        for k in [0, 1, 5, 9, 10, 11, 50, 170] {
            assert!((ln_factorial(f64::from(k)) - exact(k)).abs() < 1e-9, "{k}");
        }
    }
}
