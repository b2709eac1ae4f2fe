//! The kinds of charts: lines against an axis, bars beside names.

use super::scale::{Axis, brief, thinned};
use super::svg::{Anchor, CHARACTER, Drawing};

/// A line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// What stands at its end.
    pub label: String,
    /// Its colour: `s0` to `s5`, or `mute`, which has no label.
    pub class: &'static str,
    /// Its points, ascending.
    pub points: Vec<(f64, f64)>,
}

/// A chart of lines.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// The name of its file.
    pub name: &'static str,
    /// What it is called.
    pub title: String,
    /// What it shows in words.
    pub description: String,
    /// What the horizontal axis is, with its unit.
    pub x: String,
    /// What the vertical axis is, with its unit.
    pub y: String,
    /// Whether the vertical axis begins at zero.
    pub zero: bool,
    /// Whether the horizontal axis counts.
    pub whole: bool,
    /// The lines.
    pub lines: Vec<Line>,
}

/// The colours of lines, in order.
pub const COLOURS: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

/// The width of every drawing: that of a telephone, so that text stays as large as text.
pub const WIDTH: f64 = 400.0;

/// The most points of a line.
const POINTS: usize = 200;

/// Cut to so many characters.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['\u{2026}']).collect()
}

impl LineChart {
    /// Draws it.
    pub fn draw(&self) -> Drawing {
        const HEIGHT: f64 = 236.0;
        let mut drawing = Drawing::new(self.name, &self.title, self.description.clone(), WIDTH, HEIGHT);
        // What is no number has no place.
        let finite = |line: &Line| -> Vec<(f64, f64)> {
            line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        };
        let points: Vec<Vec<(f64, f64)>> = self.lines.iter().map(finite).collect();
        let all = || points.iter().flatten();
        let across = || std::iter::once(0.0).chain(all().map(|p| p.0));
        let x = Axis::over(across(), 5.0, true, self.whole).tight(across());
        let y = Axis::over(all().map(|p| p.1), 4.0, self.zero, false);
        let labels: Vec<String> = self.lines.iter().map(|line| cut(&line.label, 12)).collect();
        let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let ticks: Vec<(f64, String)> = y.ticks().into_iter().map(|t| (t, y.label(t))).collect();
        let widest = ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
        let (left, right) = (widest as f64 * CHARACTER + 8.0, WIDTH - 12.0 - longest as f64 * CHARACTER);
        let (top, bottom) = (26.0, HEIGHT - 38.0);
        let across = |value: f64| left + x.at(value) * (right - left);
        let up = |value: f64| bottom - y.at(value) * (bottom - top);
        drawing.text("", (0.0, 11.0), Anchor::Start, &self.y);
        for (value, label) in &ticks {
            let at = up(*value);
            drawing.line("grid", (left, at), (right, at));
            drawing.text("", (left - 6.0, at + 3.8), Anchor::End, label);
        }
        drawing.line("base", (left, bottom), (right, bottom));
        let ticks = x.ticks();
        // As many as have room.
        let room = ticks.iter().map(|t| x.label(*t).chars().count()).max().unwrap_or(1) as f64 * CHARACTER + 10.0;
        let every = ((ticks.len() as f64 * room / (right - left)).ceil() as usize).max(1);
        for value in ticks.iter().step_by(every) {
            drawing.line("base", (across(*value), bottom), (across(*value), bottom + 4.0));
            drawing.text("", (across(*value), bottom + 16.0), Anchor::Middle, &x.label(*value));
        }
        drawing.text("", ((left + right) / 2.0, HEIGHT - 4.0), Anchor::Middle, &self.x);
        for (line, points) in self.lines.iter().zip(&points).rev() {
            let places: Vec<(f64, f64)> =
                thinned(points, POINTS).into_iter().map(|(a, b)| (across(a), up(b))).collect();
            drawing.path(line.class, &places);
            if let (true, Some(last)) = (line.class != "mute", places.last()) {
                drawing.dot(line.class, *last, 2.5);
            }
        }
        let named = |i: &usize| self.lines[*i].class != "mute" && !labels[*i].is_empty();
        let last = |i: usize| points[i].last().copied();
        let ends = (0..self.lines.len()).filter(named).filter_map(|i| Some((i, up(last(i)?.1))));
        for (i, at) in apart(ends.collect(), 12.0, top, bottom) {
            let end = last(i).map_or(right, |point| across(point.0));
            drawing.text(self.lines[i].class, (end + 6.0, at + 3.8), Anchor::Start, &labels[i]);
        }
        drawing
    }
}

/// Moves places on a line apart until each has room, in their order.
fn apart(mut places: Vec<(usize, f64)>, room: f64, top: f64, bottom: f64) -> Vec<(usize, f64)> {
    places.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut least = top;
    for place in &mut places {
        place.1 = place.1.max(least);
        least = place.1 + room;
    }
    let mut most = bottom;
    for place in places.iter_mut().rev() {
        place.1 = place.1.min(most);
        most = place.1 - room;
    }
    places
}

/// A bar beside its name.
#[derive(Clone, Debug)]
pub struct Bar {
    /// The name.
    pub name: String,
    /// Its colour.
    pub class: &'static str,
    /// How long it is.
    pub value: f64,
    /// How long what it is a part of is.
    pub of: f64,
    /// What stands at its end.
    pub label: String,
}

/// A chart of bars, one below the other.
#[derive(Clone, Debug)]
pub struct BarChart {
    /// The name of its file.
    pub name: &'static str,
    /// What it is called.
    pub title: String,
    /// What it shows in words.
    pub description: String,
    /// What the bars are, with their unit.
    pub x: String,
    /// The bars.
    pub bars: Vec<Bar>,
}

impl BarChart {
    /// Draws it.
    pub fn draw(&self) -> Drawing {
        const ROW: f64 = 21.0;
        let height = 50.0 + ROW * self.bars.len() as f64;
        let mut drawing = Drawing::new(self.name, &self.title, self.description.clone(), WIDTH, height);
        let axis = Axis::over(self.bars.iter().flat_map(|bar| [bar.value, bar.of]), 4.0, true, false);
        let names = self.bars.iter().map(|bar| cut(&bar.name, 16).chars().count()).max().unwrap_or(0);
        let left = names as f64 * CHARACTER + 10.0;
        let labels = self.bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        let right = WIDTH - labels as f64 * CHARACTER - 12.0;
        let across = |value: f64| left + axis.at(value) * (right - left);
        let (top, bottom) = (4.0, height - 38.0);
        for (i, tick) in axis.ticks().into_iter().enumerate() {
            let at = across(tick);
            drawing.line(if i == 0 { "base" } else { "grid" }, (at, top), (at, bottom));
            drawing.text("", (at, bottom + 16.0), Anchor::Middle, &axis.label(tick));
        }
        for (i, bar) in self.bars.iter().enumerate() {
            let y = top + 4.0 + ROW * i as f64;
            drawing.text("strong", (left - 8.0, y + 11.0), Anchor::End, &cut(&bar.name, 16));
            if bar.of > bar.value {
                drawing.rect("pale", (left, y), (across(bar.of) - left, 14.0));
            }
            drawing.rect(bar.class, (left, y), (across(bar.value) - left, 14.0));
            let end = across(bar.of.max(bar.value));
            drawing.text("", (end + 6.0, y + 11.0), Anchor::Start, &bar.label);
        }
        drawing.text("", ((left + right) / 2.0, height - 4.0), Anchor::Middle, &self.x);
        drawing
    }
}

/// A length in words.
pub fn sat(msat: u64) -> String {
    brief(msat as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_would_cover_each_other_move_apart_and_stay_within() {
        let places = apart(vec![(0, 50.0), (1, 51.0), (2, 52.0), (3, 198.0), (4, 199.0)], 12.0, 26.0, 198.0);
        assert!(places.windows(2).all(|pair| pair[1].1 - pair[0].1 >= 11.9), "{places:?}");
        assert!(places.iter().all(|(_, at)| (26.0..=198.0).contains(at)), "{places:?}");
        assert_eq!(places.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_chart_of_nothing_and_of_what_is_no_number_is_drawn() {
        for points in [vec![], vec![(0.0, f64::NAN)], vec![(f64::INFINITY, 1.0), (2.0, f64::NEG_INFINITY)]] {
            let line = Line { label: "<x>".into(), class: "s0", points };
            let chart = LineChart {
                name: "n",
                title: "t".into(),
                description: "d".into(),
                x: "x".into(),
                y: "y".into(),
                zero: false,
                whole: true,
                lines: vec![line],
            };
            let svg = chart.draw().file();
            assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<x>"), "{svg}");
        }
    }
}
