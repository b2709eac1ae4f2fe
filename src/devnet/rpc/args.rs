//! A request's parameters, by name or by position.

use std::str::FromStr;

use lightning_invoice::Bolt11Invoice;
use serde_json::Value;

use super::answer::RpcError;

type Result<T> = std::result::Result<T, RpcError>;

/// Parameters, with the names that their positions stand for.
pub struct Args<'a> {
    given: &'a Value,
    names: &'a [&'a str],
}

impl<'a> Args<'a> {
    /// Checks that nothing is given that has no name.
    pub fn new(given: &'a Value, names: &'a [&'a str]) -> Result<Args<'a>> {
        match given {
            Value::Null => {}
            Value::Array(list) if list.len() <= names.len() => {}
            Value::Array(list) => {
                let most = names.len();
                return Err(RpcError::params(format!("too many parameters: got {}, expected {most}", list.len())));
            }
            Value::Object(map) => {
                if let Some(unknown) = map.keys().find(|key| !names.contains(&key.as_str())) {
                    return Err(RpcError::params(format!("unknown parameter: {unknown}")));
                }
            }
            _ => return Err(RpcError::params("expected parameters as an array or an object")),
        }
        Ok(Args { given, names })
    }

    /// A parameter; null counts as not given.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let value = match self.given {
            Value::Object(map) => map.get(name),
            Value::Array(list) => self.names.iter().position(|n| *n == name).and_then(|i| list.get(i)),
            _ => None,
        };
        value.filter(|v| !v.is_null())
    }

    fn need(&self, name: &str) -> Result<&'a Value> {
        self.get(name).ok_or_else(|| RpcError::params(format!("missing required parameter: {name}")))
    }

    /// A string that may be missing.
    pub fn text_if(&self, name: &str) -> Result<Option<&'a str>> {
        let text = |v: &'a Value| v.as_str().ok_or_else(|| wrong(name, "a string", v));
        self.get(name).map(text).transpose()
    }

    /// A string.
    pub fn text(&self, name: &str) -> Result<&'a str> {
        let value = self.need(name)?;
        value.as_str().ok_or_else(|| wrong(name, "a string", value))
    }

    /// An integer that may be missing; Core Lightning takes it as a string too.
    pub fn number_if(&self, name: &str) -> Result<Option<u64>> {
        let number = |v: &Value| {
            let text = v.as_str().and_then(|s| s.parse().ok());
            v.as_u64().or(text).ok_or_else(|| wrong(name, "an integer", v))
        };
        self.get(name).map(number).transpose()
    }

    /// An amount that may be missing: an integer of msat, or a string as in `1000`, `1000msat`, `1sat`.
    pub fn msat_if(&self, name: &str) -> Result<Option<u64>> {
        let msat =
            |v: &Value| v.as_u64().or_else(|| msat(v.as_str()?)).ok_or_else(|| wrong(name, "a millisatoshi amount", v));
        self.get(name).map(msat).transpose()
    }

    /// 32 bytes in hex that may be missing.
    pub fn bytes32_if(&self, name: &str) -> Result<Option<[u8; 32]>> {
        let bytes = |v: &Value| {
            let mut bytes = [0; 32];
            let text = v.as_str().unwrap_or_default();
            hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong(name, "a 32 byte hex value", v))?;
            Ok(bytes)
        };
        self.get(name).map(bytes).transpose()
    }

    /// A bolt11 invoice, complete and rightly signed.
    pub fn invoice(&self, name: &str) -> Result<Bolt11Invoice> {
        let text = self.text(name)?;
        let bare = text.strip_prefix("lightning:").unwrap_or(text);
        Bolt11Invoice::from_str(bare).map_err(|e| RpcError::params(format!("Invalid bolt11: {e}")))
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> RpcError {
    RpcError::params(format!("{name}: should be {expected}: invalid token '{found}'"))
}

fn msat(text: &str) -> Option<u64> {
    if let Some(number) = text.strip_suffix("msat") {
        number.parse().ok()
    } else if let Some(number) = text.strip_suffix("sat") {
        number.parse::<u64>().ok()?.checked_mul(1000)
    } else {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_come_by_name_or_by_position() {
        let names = ["amount", "label"];
        for given in [json!({ "amount": "5msat", "label": "x" }), json!([5, "x"]), json!(["5", "x"])] {
            let args = Args::new(&given, &names).unwrap();
            assert_eq!((args.msat_if("amount").unwrap(), args.text("label").unwrap()), (Some(5), "x"));
        }
        assert!(Args::new(&json!([1, 2, 3]), &names).is_err() && Args::new(&json!({ "x": 1 }), &names).is_err());
        assert!(Args::new(&json!("x"), &names).is_err() && Args::new(&Value::Null, &names).is_ok());
        let given = json!({ "amount": null });
        let args = Args::new(&given, &names).unwrap();
        assert!(args.msat_if("amount").unwrap().is_none() && args.text("amount").is_err());
        assert_eq!((msat("3sat"), msat("1btc"), msat("99999999999999999999sat")), (Some(3000), None, None));
    }
}
