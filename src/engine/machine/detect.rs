//! Which instruction sets this processor has.

/// How an [`Engine`] computes. All give the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// The plain scalar definitions, as written: slow, single-threaded, the specification itself.
    Definition,
    /// The fast versions compiled for the target's baseline.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 (F, VL, BW, DQ).
    Avx512,
    /// aarch64, whose baseline has fused multiply-add.
    Neon,
}

/// The operators, on one instruction set that this processor has.
///
/// The fields are private to this file: holding an `Engine` is the proof that its instruction set was detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine {
    isa: Isa,
    /// Whether two products of 16-bit integers and their sum are one instruction (VNNI).
    fused_dot: bool,
}

impl Engine {
    /// The fastest engine that this processor has.
    pub fn detect() -> Engine {
        [Isa::Avx512, Isa::Avx2, Isa::Neon]
            .into_iter()
            .find_map(Engine::with_isa)
            .unwrap_or(Engine { isa: Isa::Portable, fused_dot: false })
    }

    /// The engine for `isa`, or `None` where the processor lacks it.
    pub fn with_isa(isa: Isa) -> Option<Engine> {
        has(isa).then(|| Engine { isa, fused_dot: has_fused_dot(isa) })
    }

    /// Every fast engine that this processor has, slowest first; without the fused dot product too, where it has that. The
    /// definitions are not among them.
    pub fn available() -> Vec<Engine> {
        let both = |engine: Engine| {
            let without = engine.fused_dot.then_some(engine.without_fused_dot());
            without.into_iter().chain([engine])
        };
        let all = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon];
        all.into_iter().filter_map(Engine::with_isa).flat_map(both).collect()
    }

    /// The engine that runs the plain scalar definitions.
    pub fn definition() -> Engine {
        Engine { isa: Isa::Definition, fused_dot: false }
    }

    /// The same engine on a processor without VNNI.
    pub fn without_fused_dot(self) -> Engine {
        Engine { fused_dot: false, ..self }
    }

    /// The instruction sets in a word.
    pub fn name(self) -> String {
        let isa = format!("{:?}", self.isa).to_lowercase();
        if self.fused_dot { isa + "+vnni" } else { isa }
    }

    pub(super) fn fused_dot(self) -> bool {
        self.fused_dot
    }

    /// The instruction set of this engine.
    pub fn isa(self) -> Isa {
        self.isa
    }
}

#[cfg(target_arch = "x86_64")]
fn has(isa: Isa) -> bool {
    let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match isa {
        Isa::Definition | Isa::Portable => true,
        Isa::Avx2 => avx2(),
        Isa::Avx512 => {
            avx2()
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
        }
        Isa::Neon => false,
    }
}

#[cfg(target_arch = "x86_64")]
fn has_fused_dot(isa: Isa) -> bool {
    match isa {
        Isa::Avx2 => is_x86_feature_detected!("avxvnni"),
        Isa::Avx512 => is_x86_feature_detected!("avx512vnni"),
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_fused_dot(_: Isa) -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has(isa: Isa) -> bool {
    match isa {
        Isa::Definition | Isa::Portable => true,
        Isa::Neon => cfg!(target_arch = "aarch64"),
        Isa::Avx2 | Isa::Avx512 => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detected_engine_is_the_last_available_one() {
        assert_eq!(Engine::available().last(), Some(&Engine::detect()));
        assert!(Engine::with_isa(Isa::Neon).is_none() || Engine::with_isa(Isa::Avx2).is_none());
    }
}
