//! One operator's operands as a safetensors file, for a referee who has nothing else. The graph says what they are; their
//! digests are in the trace.

use std::io::Write;
use std::sync::Arc;

use super::graph::Graph;
use super::operator::{Form, Operator};
use super::value::Value;
use crate::artifact::{ArtifactKind, Digest, Dtype, Header, Meta, Reader, TensorInfo, Writer};
use crate::error::{Context, Error, Result};

/// Whose operands they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperandsOf {
    /// The digest of the graph.
    pub graph: Digest,
    /// The operator's place in it.
    pub operator: usize,
}

impl OperandsOf {
    fn meta(&self) -> Meta {
        let mut meta = Meta::new(ArtifactKind::Operands);
        meta.set("graph", self.graph).set("operator", self.operator);
        meta
    }
}

/// The tensors of the file: those operands that there are, by their places.
fn infos(graph: &Graph, operator: &Operator) -> Vec<TensorInfo> {
    let reads = operator.reads.iter().enumerate();
    let named = reads.filter_map(|(place, read)| Some((format!("{place:06}"), &graph.values[(*read)? as usize].form)));
    let info = |(name, form): (String, &Form)| match form {
        Form::Floats(shape) => TensorInfo::f32(name, shape),
        Form::Tokens(count) | Form::Targets(count) | Form::Starts(count) => {
            TensorInfo { name, dtype: Dtype::U32, shape: vec![*count] }
        }
        Form::Sum => TensorInfo::bytes(name, 16),
        Form::Root => TensorInfo::bytes(name, 32),
    };
    named.map(info).collect()
}

/// Writes the operands of an operator that works on values.
pub fn write_operands<W: Write>(
    name: &str,
    out: W,
    of: OperandsOf,
    graph: &Graph,
    values: &[Option<Value>],
) -> Result<(W, Digest)> {
    let infos = infos(graph, &graph.operators[of.operator]);
    let names: Vec<String> = infos.iter().map(|info| info.name.clone()).collect();
    let mut writer = Writer::new(name, out, Header::new(of.meta().0, infos))?;
    for (name, value) in names.iter().zip(values.iter().flatten()) {
        match value {
            Value::Floats(values) => writer.f32(name, values)?,
            Value::Tokens(ids) => {
                writer.bytes(name, &ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>())?
            }
            Value::Sum(sum) => writer.bytes(name, &sum.to_le_bytes())?,
            Value::Root(root) => writer.bytes(name, &root.0)?,
        }
    }
    writer.finish()
}

/// Reads the operands of this operator; shapes are the graph's, and are checked before data are read.
pub fn read_operands(mut reader: Reader, of: OperandsOf, graph: &Graph) -> Result<Vec<Option<Value>>> {
    reader.require_canonical()?;
    let file = reader.name().to_owned();
    let operator = &graph.operators[of.operator];
    let expected = Header::new(of.meta().0, infos(graph, operator));
    let meta = Meta::read(&file, reader.header(), ArtifactKind::Operands)?;
    for (key, value) in [("graph", of.graph.to_string()), ("operator", of.operator.to_string())] {
        let found = meta.get(&file, key)?;
        if found != value {
            return Err(Error::refused(format!("{file}: metadata l402.{key}: expected {value}, found {found}")));
        }
    }
    if reader.header() != &expected {
        return Err(Error::data(format!("{file}: its tensors are not the operands of {}", operator.describe())));
    }
    let mut values = Vec::with_capacity(operator.reads.len());
    for read in &operator.reads {
        let Some(id) = read else {
            values.push(None);
            continue;
        };
        let (info, data) = reader.next_tensor()?.ok_or_else(|| Error::data(format!("{file}: truncated")))?;
        let words = || data.as_chunks::<4>().0.iter();
        let value = match graph.values[*id as usize].form {
            Form::Floats(_) => Value::floats(words().map(|w| f32::from_le_bytes(*w)).collect()),
            Form::Tokens(_) | Form::Targets(_) | Form::Starts(_) => {
                Value::Tokens(Arc::new(words().map(|w| u32::from_le_bytes(*w)).collect()))
            }
            Form::Sum => Value::Sum(i128::from_le_bytes(exactly(&info.name, &data).at(&file)?)),
            Form::Root => Value::Root(Digest(exactly(&info.name, &data).at(&file)?)),
        };
        values.push(Some(value));
    }
    reader.finish()?;
    Ok(values)
}

fn exactly<const N: usize>(name: &str, data: &[u8]) -> Result<[u8; N]> {
    data.try_into().map_err(|_| Error::data(format!("tensor {name}: expected {N} bytes, found {}", data.len())))
}
