//! Numbers in words, for people: what decides is in the records.

use crate::artifact::Digest;

/// A fixed-point sum of a record, in nats; none where it is no number.
pub fn nats(q32: &str) -> Option<f64> {
    q32.parse::<i128>().ok().map(|sum| sum as f64 / (1u64 << 32) as f64)
}

/// Parts per million as a decimal.
pub fn part(ppm: u64) -> String {
    trimmed(ppm as f64 / 1e6, 4)
}

/// A number with at most so many decimals, and none for nothing.
pub fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The beginning of a digest.
pub fn short(digest: &Digest) -> String {
    digest.short()
}

/// Words of others, of which a record can hold everything: printable ASCII, and no page of it.
pub fn plainly(text: &str) -> String {
    let shown: String = text.chars().flat_map(char::escape_default).take(MOST).collect();
    // Quotes need no escape outside of a literal.
    shown.replace("\\\"", "\"").replace("\\'", "'")
}

/// The most characters of others in a line.
const MOST: usize = 300;

/// `1 worker`, `2 workers`.
pub fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
