//! Tables: what every plot shows, in numbers, for the page and as CSV.

use super::escape::{field, markup};

/// A cell.
#[derive(Clone, Debug)]
pub enum Cell {
    /// A number of our own making.
    Number(String),
    /// Words, perhaps of others.
    Text(String),
    /// Nothing is known.
    None,
}

impl Cell {
    /// A whole number.
    pub fn of(number: u64) -> Cell {
        Cell::Number(number.to_string())
    }

    /// A decimal.
    pub fn decimal(value: Option<f64>, decimals: usize) -> Cell {
        value.filter(|v| v.is_finite()).map_or(Cell::None, |v| Cell::Number(format!("{v:.decimals$}")))
    }

    /// A whole number, if there is one.
    pub fn maybe(number: Option<impl Into<u64>>) -> Cell {
        number.map_or(Cell::None, |number| Cell::of(number.into()))
    }

    /// Words.
    pub fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }
}

/// A table; its first column names the row.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name of its file.
    pub name: &'static str,
    /// What it is.
    pub caption: String,
    /// The heads of its columns.
    pub heads: Vec<&'static str>,
    /// Its rows.
    pub rows: Vec<Vec<Cell>>,
    /// Whether the first rows are those that matter most.
    pub ranked: bool,
}

impl Table {
    /// As comma-separated values: one line a row, the heads first.
    pub fn csv(&self) -> String {
        let mut out = self.heads.iter().map(|head| head.replace(' ', "_")).collect::<Vec<_>>().join(",") + "\n";
        for row in &self.rows {
            for (i, cell) in row.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                match cell {
                    Cell::Number(number) => out += number,
                    Cell::Text(text) => out += &field(text),
                    Cell::None => {}
                }
            }
            out.push('\n');
        }
        out
    }

    /// As HTML, of at most so many rows: of ranked ones the first, else the same distance apart, the last one among them.
    pub fn html(&self, most: usize) -> String {
        let (count, most) = (self.rows.len(), most.max(1));
        let stride = count.div_ceil(most).max(1);
        let kept = |i: usize| if self.ranked { i < most } else { i.is_multiple_of(stride) || i + 1 == count };
        let shown: Vec<&Vec<Cell>> = (0..count).filter(|i| kept(*i)).map(|i| &self.rows[i]).collect();
        let mut caption = self.caption.clone();
        if shown.len() < self.rows.len() {
            caption += &format!(" ({} of {} rows; --csv has all)", shown.len(), self.rows.len());
        }
        let label = markup(&caption);
        let mut out = format!(
            "<div class=\"scroll\" role=\"region\" aria-label=\"{label}\" tabindex=\"0\"><table><caption>{label}</caption>\n<thead><tr>"
        );
        for (i, head) in self.heads.iter().enumerate() {
            let number = self.rows.iter().any(|row| matches!(row.get(i), Some(Cell::Number(_))));
            let class = if number { "" } else { " class=\"t\"" };
            out += &format!("<th scope=\"col\"{class}>{}</th>", markup(head));
        }
        out += "</tr></thead>\n<tbody>\n";
        for row in shown {
            out += "<tr>";
            for (i, cell) in row.iter().enumerate() {
                let (class, text) = match cell {
                    // Of our own making: nothing in it is to be escaped, and its spaces are to stay.
                    Cell::Number(number) => ("", grouped(number)),
                    Cell::Text(text) => (" class=\"t\"", markup(text)),
                    Cell::None => ("", "&ndash;".to_owned()),
                };
                out += &match i {
                    0 => format!("<th scope=\"row\"{class}>{text}</th>"),
                    _ => format!("<td{class}>{text}</td>"),
                };
            }
            out += "</tr>\n";
        }
        out + "</tbody></table></div>\n"
    }
}

/// A number with thin spaces between its thousands, so that one can read it.
pub fn grouped(number: &str) -> String {
    let (sign, rest) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, decimals) = rest.split_once('.').map_or((rest, None), |(whole, decimals)| (whole, Some(decimals)));
    let mut out = sign.to_owned();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 && whole.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    decimals.map_or(out.clone(), |decimals| format!("{out}.{decimals}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize) -> Table {
        let rows = (0..rows).map(|i| vec![Cell::of(i as u64), Cell::text("<b>"), Cell::None]);
        Table { name: "t", caption: "c".into(), heads: vec!["n", "who", "x"], rows: rows.collect(), ranked: false }
    }

    #[test]
    fn a_long_table_is_thinned_to_its_ends_and_says_so() {
        let html = table(1000).html(10);
        assert!(html.contains("<th scope=\"row\">0</th>") && html.contains("<th scope=\"row\">999</th>"), "{html}");
        assert!(html.matches("<tr>").count() <= 12 && html.contains("of 1000 rows"), "{html}");
        assert!(!html.contains("<b>"), "{html}");
        let ranked = Table { ranked: true, ..table(1000) }.html(10);
        assert!(ranked.contains("scope=\"row\">9<") && !ranked.contains("scope=\"row\">999<"), "{ranked}");
        assert!(!table(10).html(10).contains("rows"), "nothing is left out");
        assert_eq!(table(2).csv(), "n,who,x\n0,\"<b>\",\n1,\"<b>\",\n");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(grouped("1234567"), "1\u{202f}234\u{202f}567");
        assert_eq!((grouped("-1234.5"), grouped("12345.25")), ("-1234.5".into(), "12\u{202f}345.25".into()));
    }
}
