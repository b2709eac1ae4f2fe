//! Does a device compute what the host does? Every operator on fixed and ragged inputs, on both, compared bit by bit.

mod adamw;
mod attention;
mod bias;
mod case;
mod columns;
mod cross_entropy;
mod elementwise;
mod embedding;
mod gated;
mod integer;
mod low_rank;
mod matmul;
mod rms_norm;
mod rope;
mod sum;

use case::{Case, Check};

use crate::device::operators::Device;
use crate::error::Result;

/// Operators by name, ascending; those of one file together.
const CHECKS: &[&[(&str, Check)]] = &[
    adamw::CHECKS,
    attention::CHECKS,
    bias::CHECKS,
    columns::CHECKS,
    cross_entropy::CHECKS,
    elementwise::CHECKS,
    embedding::CHECKS,
    gated::CHECKS,
    integer::CHECKS,
    low_rank::CHECKS,
    matmul::CHECKS,
    rms_norm::CHECKS,
    rope::CHECKS,
    sum::CHECKS,
];

/// Checks every operator of a device against the host's engine, on inputs that `seed` makes. `tell` is told of each: its name, and what
/// differs. An error is the device's own: it could not compute at all.
pub fn check(device: &Device, seed: u32, mut tell: impl FnMut(&'static str, Option<&str>) -> Result<()>) -> Result<()> {
    for (number, (name, check)) in (0u32..).zip(CHECKS.iter().copied().flatten()) {
        let mut case = Case::new(device, seed.wrapping_mul(1000).wrapping_add(number));
        check(&mut case).map_err(|error| error.at(name))?;
        tell(name, case.differs())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn an_engine_passes_as_a_device_and_every_operator_is_checked() {
        let mut names = Vec::new();
        let definitions = Device::from(Engine::definition());
        check(&definitions, 0, |name, differs| {
            assert_eq!(differs, None, "{name}");
            names.push(name);
            Ok(())
        })
        .unwrap();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
