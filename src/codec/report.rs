//! What an update costs and what it loses: bits a value and an index beside what they would need at the least, and the squared
//! error. For people: computed in f64, and no bits of an artifact depend on it.

use serde_json::{Value, json};

use super::anatomy::Anatomy;
use super::contract::Codec;
use crate::error::Result;

/// One tensor's part of an update, or all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Elements of the tensor.
    pub elements: usize,
    /// Bytes of its payload.
    pub bytes: usize,
    /// What they are spent on.
    pub anatomy: Anatomy,
    /// The squares that remain of what was to be sent, and those of what was to be sent; of the values that were sent alone,
    /// the same. Where they are known.
    pub error: Option<SquaredError>,
}

/// Sums of squares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SquaredError {
    /// Of what was not sent, the next error feedback.
    pub left: f64,
    /// Of what was to be sent.
    pub whole: f64,
    /// Of what was not sent of the values that were sent as something other than 0.
    pub left_of_sent: f64,
    /// Of these values.
    pub sent: f64,
}

impl SquaredError {
    /// From what was sent and what remains of it.
    pub fn of(sent: &[f32], left: &[f32]) -> SquaredError {
        let mut error = SquaredError::default();
        for (&sent, &left) in sent.iter().zip(left) {
            let (left, whole) = (f64::from(left), f64::from(sent) + f64::from(left));
            error.left += left * left;
            error.whole += whole * whole;
            if sent != 0.0 {
                error.left_of_sent += left * left;
                error.sent += whole * whole;
            }
        }
        error
    }

    fn add(&mut self, other: &SquaredError) {
        self.left += other.left;
        self.whole += other.whole;
        self.left_of_sent += other.left_of_sent;
        self.sent += other.sent;
    }
}

/// An update's report.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The codec.
    pub codec: &'static str,
    /// By tensor, in ascending order of names.
    pub tensors: Vec<(String, Cost)>,
    /// Bytes of the whole file, header and metadata with it.
    pub file_bytes: u64,
}

impl Report {
    /// Before the first tensor.
    pub fn new(codec: &dyn Codec) -> Report {
        Report { codec: codec.name(), tensors: Vec::new(), file_bytes: 0 }
    }

    /// Takes the next tensor: its payload and, where it is known, what remains.
    pub fn push(
        &mut self,
        codec: &dyn Codec,
        name: &str,
        shape: &[usize],
        payload: &[u8],
        left: Option<&[f32]>,
    ) -> Result<()> {
        let error = match left {
            Some(left) => Some(SquaredError::of(&codec.decode(shape, payload)?, left)),
            None => None,
        };
        let (elements, bytes) = (shape.iter().product(), payload.len());
        self.tensors.push((name.to_owned(), Cost { elements, bytes, anatomy: codec.anatomy(shape, payload)?, error }));
        Ok(())
    }

    /// All tensors together.
    pub fn total(&self) -> Cost {
        let mut total = Cost { error: Some(SquaredError::default()), ..Cost::default() };
        for (_, cost) in &self.tensors {
            total.elements += cost.elements;
            total.bytes += cost.bytes;
            let (all, one) = (&mut total.anatomy, &cost.anatomy);
            all.sent += one.sent;
            all.index_bits += one.index_bits;
            all.value_bits += one.value_bits;
            all.index_bound += one.index_bound;
            all.value_bound += one.value_bound;
            match (&mut total.error, &cost.error) {
                (Some(all), Some(one)) => all.add(one),
                (all, _) => *all = None,
            }
        }
        total
    }

    /// Every figure by name. Ratios are to float32 and bfloat16; the total's count the whole file.
    pub fn to_json(&self) -> Value {
        let tensors = self.tensors.iter().map(|(name, cost)| {
            let mut shown = cost.to_json(cost.bytes as u64);
            shown["name"] = json!(name);
            shown
        });
        let mut total = self.total().to_json(self.file_bytes);
        total["payload_bytes"] = json!(self.total().bytes);
        json!({ "type": "report", "v": 1, "codec": self.codec, "tensors": tensors.collect::<Vec<_>>(), "total": total })
    }

    /// The same as lines of text.
    pub fn table(&self) -> String {
        let head = [
            "tensor",
            "elements",
            "sent",
            "bytes",
            "to f32",
            "to bf16",
            "bits/index",
            "least",
            "bits/value",
            "entropy",
            "scales",
            "error",
            "of sent",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.tensors.iter().map(|(name, cost)| cost.row(name, cost.bytes as u64)));
        rows.push(self.total().row("all, with the header", self.file_bytes));
        let wide = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(wide).collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = format!("{:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                line += &format!("  {cell:>width$}");
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

impl Cost {
    /// Bits a sent value for what is neither index nor value: scales, tables, padding.
    fn scale_bits(&self) -> f64 {
        (8 * self.bytes).saturating_sub(self.anatomy.index_bits + self.anatomy.value_bits) as f64
    }

    /// Ratios to float32 and bfloat16; bits an index, the least, bits a value, their entropy, scales; errors of all and of
    /// what was sent. `None` where there is nothing to divide by.
    fn figures(&self, bytes: u64) -> [Option<f64>; 9] {
        let of = |a: f64, b: f64| (b > 0.0).then(|| a / b);
        let anatomy = &self.anatomy;
        let each = |bits: f64| of(bits, anatomy.sent as f64);
        let error = self.error.as_ref();
        [
            of(4.0 * self.elements as f64, bytes as f64),
            of(2.0 * self.elements as f64, bytes as f64),
            each(anatomy.index_bits as f64),
            each(anatomy.index_bound),
            each(anatomy.value_bits as f64),
            each(anatomy.value_bound),
            each(self.scale_bits()),
            error.and_then(|e| of(e.left, e.whole)),
            error.and_then(|e| of(e.left_of_sent, e.sent)),
        ]
    }

    fn to_json(self, bytes: u64) -> Value {
        let rounded = |v: Option<f64>| v.map_or(Value::Null, |v| json!(format!("{v:.6}")));
        let [f32, bf16, index, least, value, entropy, scale, error, of_sent] = self.figures(bytes).map(rounded);
        json!({
            "elements": self.elements, "sent": self.anatomy.sent, "bytes": bytes, "ratio_f32": f32, "ratio_bf16": bf16,
            "bits_per_index": index, "bits_per_index_least": least, "bits_per_value": value,
            "bits_per_value_entropy": entropy, "bits_per_value_scales": scale,
            "relative_squared_error": error, "relative_squared_error_of_sent": of_sent,
        })
    }

    fn row(&self, name: &str, bytes: u64) -> [String; 13] {
        let figures = self.figures(bytes);
        let cell = |i: usize, digits: usize| figures[i].map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        [
            name.escape_debug().to_string(),
            self.elements.to_string(),
            self.anatomy.sent.to_string(),
            bytes.to_string(),
            cell(0, 1),
            cell(1, 1),
            cell(2, 2),
            cell(3, 2),
            cell(4, 2),
            cell(5, 2),
            cell(6, 2),
            cell(7, 4),
            cell(8, 4),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_hand() {
        let error = SquaredError::of(&[2.0, 0.0, -3.0], &[1.0, 2.0, 0.0]);
        assert_eq!(error, SquaredError { left: 5.0, whole: 22.0, left_of_sent: 1.0, sent: 18.0 });
    }
}
