//! The shapes of a model's parameters, as an update's metadata carries them.

use std::collections::BTreeMap;

use crate::artifact::{Header, MAX_RANK, canonical};
use crate::error::{Error, Result, plainly};

/// The most elements that a tensor of an update can have: 2^32, which is 16 GiB of float32.
pub const MAX_ELEMENTS: usize = 1 << 32;

/// Shapes, by parameter name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shapes(pub BTreeMap<String, Vec<usize>>);

impl Shapes {
    /// The shapes of a file's tensors.
    pub fn of(header: &Header) -> Shapes {
        let tensors = header.tensors.iter();
        Shapes(tensors.map(|t| (t.name.clone(), t.shape.clone())).collect())
    }

    /// Names and shapes, by ascending name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.0.iter().map(|(n, s)| (n.as_str(), s.as_slice()))
    }

    /// The canonical JSON object: keys sorted by bytes, no white space.
    pub fn to_json(&self) -> String {
        canonical::json(&serde_json::json!(self.0))
    }

    /// Reads the canonical JSON object, and no other form of it; every shape is within the limits.
    pub fn parse(text: &str) -> Result<Shapes> {
        let shapes: Shapes = serde_json::from_str(text)
            .map(Shapes)
            .map_err(|e| Error::data(format!("not a JSON object of shapes: {}", plainly(e))))?;
        if shapes.to_json() != text {
            return Err(Error::data("the JSON object of shapes is not in canonical form"));
        }
        for (name, shape) in &shapes.0 {
            if elements(shape).is_none() {
                let shown = &shape[..shape.len().min(MAX_RANK + 1)];
                return Err(Error::data(format!(
                    "tensor {name}: shape {shown:?}: expected at most {MAX_RANK} dimensions and {MAX_ELEMENTS} elements"
                )));
            }
        }
        Ok(shapes)
    }

    /// Whether these are exactly the expected names and shapes; the error names the first that differs.
    pub fn expect<'a>(&self, expected: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<()> {
        let expected: BTreeMap<&str, &[usize]> = expected.into_iter().collect();
        for (name, shape) in &expected {
            match self.0.get(*name) {
                None => return Err(Error::data(format!("tensor {name} is missing"))),
                Some(found) if found != shape => {
                    return Err(Error::data(format!("tensor {name}: expected shape {shape:?}, found {found:?}")));
                }
                Some(_) => {}
            }
        }
        match self.0.keys().find(|n| !expected.contains_key(n.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::data(format!("tensor {name} is not expected"))),
        }
    }
}

/// The number of elements, where it is within the limits.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    if shape.len() > MAX_RANK {
        return None;
    }
    // A zero anywhere must not hide an overflow of the others.
    let most = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))?;
    (most <= MAX_ELEMENTS).then(|| shape.iter().product())
}

/// As many zeros as the shape has elements; where there is no memory for them, an error.
pub(super) fn zeros(shape: &[usize]) -> Result<Vec<f32>> {
    let total = elements(shape).unwrap_or(0);
    let mut values: Vec<f32> = Vec::new();
    values
        .try_reserve_exact(total)
        .map_err(|_| Error::data(format!("shape {shape:?}: too large for this machine's memory")))?;
    values.resize(total, 0.0);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_one_spelling() {
        let text = r#"{"a":[2,3],"b":[],"c":[0]}"#;
        assert_eq!(Shapes::parse(text).unwrap().to_json(), text);
        for other in [
            r#"{"b":[],"a":[2,3],"c":[0]}"#,
            r#"{"a": [2,3]}"#,
            r#"{"a":[2],"a":[2]}"#,
            r#"{"a":[2.0]}"#,
            r#"{"a":[-1]}"#,
            r#"{"a":2}"#,
            "[]",
            "",
        ] {
            let refused = Shapes::parse(other).unwrap_err().to_string();
            let says = ["the JSON object of shapes is not in canonical form", "not a JSON object of shapes: "];
            assert!(says.iter().any(|says| refused.starts_with(says)), "{other}: {refused}");
        }
    }

    #[test]
    fn shapes_beyond_the_limits_are_refused() {
        for text in [
            r#"{"a":[4294967297]}"#,
            r#"{"a":[18446744073709551615,18446744073709551615]}"#,
            r#"{"a":[18446744073709551615,0]}"#,
            r#"{"a":[1,1,1,1,1,1,1,1,1]}"#,
        ] {
            let error = Shapes::parse(text).unwrap_err().to_string();
            assert!(error.contains("tensor a"), "{error}");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let shapes = Shapes::parse(r#"{"a":[2,3],"b":[4]}"#).unwrap();
        let error = |expected: &[(&str, &[usize])]| {
            let result = shapes.expect(expected.iter().copied());
            result.map_err(|e| e.to_string())
        };
        assert_eq!(error(&[("a", &[2, 3]), ("b", &[4])]), Ok(()));
        let wrong = error(&[("a", &[3, 2]), ("b", &[4])]).unwrap_err();
        assert!(wrong.contains("a: expected shape [3, 2], found [2, 3]"));
        assert!(error(&[("a", &[2, 3])]).unwrap_err().contains("tensor b is not expected"));
        let missing = error(&[("a", &[2, 3]), ("b", &[4]), ("c", &[1])]).unwrap_err();
        assert!(missing.contains("c is missing"));
    }
}
