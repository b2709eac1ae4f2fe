//! Axes: from values to places, round ticks, short numbers. No logarithms: platform mathematics draws nothing either.

/// A linear axis from one value to another.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// The value at its beginning.
    pub from: f64,
    /// The value at its end.
    pub to: f64,
    /// From one tick to the next.
    pub step: f64,
}

/// The largest of 1, 2, 5 times a power of ten that is not above this, or the next one.
fn round_step(raw: f64) -> f64 {
    let raw = if raw.is_finite() && raw > 0.0 { raw.clamp(1e-30, 1e30) } else { 1.0 };
    let mut magnitude = 1.0;
    while magnitude * 10.0 <= raw {
        magnitude *= 10.0;
    }
    while magnitude > raw {
        magnitude /= 10.0;
    }
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * magnitude)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(magnitude * 10.0)
}

impl Axis {
    /// An axis over these values with about so many ticks; from zero where that is asked for.
    pub fn over(values: impl IntoIterator<Item = f64>, ticks: f64, zero: bool, whole: bool) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|v| v.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if zero {
            low = low.min(0.0);
        }
        if high <= low {
            high = low + if low == 0.0 || whole { 1.0 } else { low.abs() * 0.1 };
        }
        let mut step = round_step((high - low) / ticks);
        if whole {
            step = step.max(1.0);
        }
        let from = if zero && low == 0.0 { 0.0 } else { (low / step).floor() * step };
        Axis { from, to: (high / step).ceil() * step, step }
    }

    /// The same, from the first value to the last, without the way to the next tick.
    pub fn tight(self, values: impl IntoIterator<Item = f64>) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(|v| v.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low.is_finite() && low < high { Axis { from: low, to: high, ..self } } else { self }
    }

    /// Where a value is, between 0 and 1.
    pub fn at(&self, value: f64) -> f64 {
        let at = (value - self.from) / (self.to - self.from);
        // Of what is no number, or too far apart to be one, there is no place.
        if at.is_nan() { 0.0 } else { at.clamp(-0.05, 1.05) }
    }

    /// The ticks.
    pub fn ticks(&self) -> Vec<f64> {
        let first = (self.from / self.step - 1e-9).ceil() * self.step;
        let count = ((self.to - first) / self.step + 1e-9).floor().clamp(0.0, 20.0) as usize;
        (0..=count).map(|i| first + self.step * i as f64).collect()
    }

    /// What stands at a tick.
    pub fn label(&self, value: f64) -> String {
        short(value, self.step)
    }
}

/// A number as one reads it on an axis whose ticks are this far apart: `1.5M`, `20k`, `0.05`.
pub fn short(value: f64, step: f64) -> String {
    let size = value.abs().max(step);
    let (unit, suffix) = match size {
        _ if size >= 1e12 => (1e12, "T"),
        _ if size >= 1e9 => (1e9, "G"),
        _ if size >= 1e6 => (1e6, "M"),
        _ if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let (value, step) = (value / unit, step / unit);
    let decimals = (0..6).find(|decimals| {
        let scaled = step * (0..*decimals).fold(1.0, |power, _| power * 10.0);
        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0) && scaled >= 0.999
    });
    let text = format!("{value:.*}", decimals.unwrap_or(3));
    if value == 0.0 { "0".into() } else { text + suffix }
}

/// A number with three digits or so: `183k`, `2.61`.
pub fn brief(value: f64) -> String {
    let size = value.abs();
    let (unit, suffix) = match size {
        _ if size >= 1e12 => (1e12, "T"),
        _ if size >= 1e9 => (1e9, "G"),
        _ if size >= 1e6 => (1e6, "M"),
        _ if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let value = value / unit;
    let decimals = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let whole = unit == 1.0 && value == value.trunc();
    format!("{value:.*}{suffix}", if whole { 0 } else { decimals })
}

/// A size in bytes, in three digits or so: `13.7 MB`.
pub fn bytes(value: f64) -> String {
    let text = brief(value);
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    format!("{digits} {}B", &text[digits.len()..])
}

/// At most about so many points, with the first, the last and the extremes of each stretch.
pub fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil((most / 4).max(1));
    let mut kept = Vec::new();
    for part in points.chunks(stretch) {
        let place = |of: fn(&f64, &f64) -> std::cmp::Ordering| {
            (0..part.len()).max_by(|a, b| of(&part[*a].1, &part[*b].1)).unwrap_or(0)
        };
        let mut places = vec![0, place(f64::total_cmp), place(|a, b| b.total_cmp(a)), part.len() - 1];
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|i| part[i]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        for (values, zero) in [
            (vec![0.0, 12.0], true),
            (vec![2.1, 5.64], false),
            (vec![3e11], true),
            (vec![-0.003, 0.002], false),
            (vec![7.0, 7.0], false),
            (vec![f64::NAN, f64::INFINITY], true),
            (vec![1e300, -1e300], false),
            (vec![], false),
        ] {
            let axis = Axis::over(values.iter().copied(), 5.0, zero, false);
            let ticks = axis.ticks();
            assert!((2..=21).contains(&ticks.len()), "{values:?} {axis:?}");
            assert!(
                values.iter().filter(|v| v.abs() < 1e29).all(|v| axis.from <= *v && *v <= axis.to),
                "{values:?} {axis:?}"
            );
            assert!(ticks.iter().all(|t| axis.label(*t).len() < 9 || values[0].abs() > 1e20), "{values:?} {axis:?}");
        }
        let axis = Axis::over([0.0, 12.0], 5.0, true, true);
        let labels: Vec<String> = axis.ticks().iter().map(|t| axis.label(*t)).collect();
        assert_eq!(labels, ["0", "5", "10", "15"]);
        assert_eq!(
            (short(1_500_000.0, 500_000.0), short(0.05, 0.05), short(20_000.0, 5000.0)),
            ("1.5M".into(), "0.05".into(), "20k".into())
        );
        assert_eq!((brief(183_332.0), brief(2.614), brief(12.0)), ("183k".into(), "2.61".into(), "12".into()));
    }

    #[test]
    fn thinning_keeps_ends_and_extremes() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[51_234].1 = 9.0;
        points[61_234].1 = -9.0;
        let kept = thinned(&points, 200);
        assert!(kept.len() <= 204, "{}", kept.len());
        assert_eq!((kept[0], *kept.last().unwrap()), (points[0], points[99_999]));
        assert!(kept.contains(&points[51_234]) && kept.contains(&points[61_234]));
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(thinned(&points[..3], 200), points[..3]);
    }
}
