//! Drawings: SVG without scripts, fonts or anything from elsewhere. Colours are classes, so that one sheet of styles serves a
//! light page, a dark one and paper.

use super::escape::markup;

/// A drawing with its name, what it is called and what it shows in words.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// The name of its file.
    pub name: &'static str,
    /// What it is called.
    pub title: String,
    /// What it shows, for who does not see it.
    pub description: String,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// What is drawn.
    body: String,
}

/// Where text stands beside its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

/// About what a character of the text takes in width.
pub const CHARACTER: f64 = 6.1;

/// A place with a tenth of a pixel.
fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

impl Drawing {
    /// Nothing drawn yet.
    pub fn new(name: &'static str, title: &str, description: String, width: f64, height: f64) -> Drawing {
        Drawing { name, title: title.to_owned(), description, width, height, body: String::new() }
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(place);
        self.body += &format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>\n");
    }

    /// A line through points.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut text = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            text += &format!("{}{} {}", if i == 0 { "M" } else { "L" }, place(*x), place(*y));
        }
        self.body += &format!("<path class=\"{class}\" d=\"{text}\"/>\n");
    }

    /// A rectangle.
    pub fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        let [x, y, width, height] = [x, y, width.max(0.0), height.max(0.0)].map(place);
        self.body += &format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\n");
    }

    /// A dot.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        let [x, y, r] = [x, y, radius].map(place);
        self.body += &format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\"/>\n");
    }

    /// Text.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let [x, y] = [x, y].map(place);
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.body += &format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{}</text>\n", markup(text));
    }

    fn head(&self, id: &str) -> String {
        format!(
            "<title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n",
            markup(&self.title),
            markup(&self.description)
        )
    }

    /// For a page that has [`STYLE`].
    pub fn inline(&self) -> String {
        let (id, width, height) = (self.name, place(self.width), place(self.height));
        format!(
            "<svg class=\"plot\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">{}{}</svg>\n",
            self.head(id),
            self.body
        )
    }

    /// As a file of its own, its title above.
    pub fn file(&self) -> String {
        let (id, width, height) = (self.name, place(self.width + 16.0), place(self.height + 36.0));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"-8 -28 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">{}<style>svg{{background:var(--paper)}}{STYLE}</style>\n\
             <rect x=\"-8\" y=\"-28\" width=\"{width}\" height=\"{height}\" fill=\"var(--paper)\"/>\n\
             <text class=\"name\" x=\"0\" y=\"-10\">{}</text>\n{}</svg>\n",
            self.head(id),
            markup(&self.title),
            self.body
        )
    }
}

/// Several drawings beside each other, each under its title, in one file.
pub fn beside(title: &str, drawings: &[Drawing]) -> String {
    const GAP: f64 = 28.0;
    let width: f64 = drawings.iter().map(|d| d.width + GAP).sum::<f64>() + GAP;
    let height = drawings.iter().map(|d| d.height).fold(0.0, f64::max) + 64.0;
    let [wide, high] = [width, height].map(place);
    let description: Vec<String> = drawings.iter().map(|d| format!("{}: {}", d.title, d.description)).collect();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" \
         role=\"img\" aria-labelledby=\"t d\"><title id=\"t\">{}</title><desc id=\"d\">{}</desc><style>{STYLE}</style>\n\
         <rect width=\"{wide}\" height=\"{high}\" fill=\"var(--paper)\"/>\n",
        markup(title),
        markup(&description.join(" "))
    );
    let mut x = GAP;
    for drawing in drawings {
        let (left, name) = (place(x), markup(&drawing.title));
        out += &format!(
            "<g transform=\"translate({left} 44)\"><text class=\"name\" x=\"0\" y=\"-14\">{name}</text>\n{}</g>\n",
            drawing.body
        );
        x += drawing.width + GAP;
    }
    out + "</svg>\n"
}

/// Colours and strokes. The six hues are told apart by people who do not see all colours, on light and on dark ground.
pub const STYLE: &str = "\
:root{--paper:#fff;--ink:#1b1c1d;--soft:#5c6166;--rule:#d9dcdf;--c0:#0069a8;--c1:#c8500a;--c2:#00805e;--c3:#9a3f8c;--c4:#866400;--c5:#4d5f73;--mute:#b9bfc5}
@media (prefers-color-scheme:dark){:root{--paper:#16181a;--ink:#e9e7e4;--soft:#a2a8ae;--rule:#373b40;--c0:#62b5ee;--c1:#ff9350;--c2:#3cc79d;--c3:#e191d3;--c4:#e2bd4a;--c5:#a9b8c8;--mute:#5b6269}}
@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--rule:#ccc;--c0:#0069a8;--c1:#c8500a;--c2:#00805e;--c3:#9a3f8c;--c4:#866400;--c5:#4d5f73;--mute:#b9bfc5}}
.plot text{font:11px system-ui,-apple-system,\"Segoe UI\",Roboto,\"Liberation Sans\",Arial,sans-serif;fill:var(--soft)}
.plot text.name{font-weight:600;font-size:14px;fill:var(--ink)}
.plot text.strong{fill:var(--ink)}
.plot text.s0{fill:var(--c0)}.plot text.s1{fill:var(--c1)}.plot text.s2{fill:var(--c2)}.plot text.s3{fill:var(--c3)}.plot text.s4{fill:var(--c4)}.plot text.s5{fill:var(--c5)}
.plot .grid{stroke:var(--rule);stroke-width:1}
.plot .base{stroke:var(--soft);stroke-width:1}
.plot path{fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
.plot path.s0{stroke:var(--c0)}.plot path.s1{stroke:var(--c1)}.plot path.s2{stroke:var(--c2)}.plot path.s3{stroke:var(--c3)}.plot path.s4{stroke:var(--c4)}.plot path.s5{stroke:var(--c5)}
.plot path.mute{stroke:var(--mute);stroke-width:1}
.plot circle.s0,.plot rect.s0{fill:var(--c0)}.plot circle.s1,.plot rect.s1{fill:var(--c1)}.plot circle.s2,.plot rect.s2{fill:var(--c2)}.plot circle.s3,.plot rect.s3{fill:var(--c3)}.plot circle.s4,.plot rect.s4{fill:var(--c4)}.plot circle.s5,.plot rect.s5{fill:var(--c5)}
.plot rect.mute,.plot circle.mute{fill:var(--mute)}
.plot rect.pale{fill:var(--rule)}
.plot rect.half{fill:var(--c0);opacity:.4}
.plot rect.hollow{fill:none;stroke:var(--mute);stroke-width:1}
.plot path.mark{stroke:var(--paper);stroke-width:1.4}
.plot line.close{stroke:var(--ink);stroke-width:2}
";
