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
    fused_dot: Option<FusedDot>,
}

/// Instructions that multiply integers and add up several products at once, which a processor has beside its instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FusedDot {
    /// Two products of 16 bits (x86-64).
    Vnni,
    /// Four products of 8 bits (aarch64, FEAT_DotProd).
    Dotprod,
    /// Matrices of 8 bits, 2 × 8 by 8 × 2 (aarch64, FEAT_I8MM).
    I8mm,
}

impl FusedDot {
    /// All, slowest first.
    const ALL: [FusedDot; 3] = [FusedDot::Vnni, FusedDot::Dotprod, FusedDot::I8mm];

    /// Those that the processor has beside `isa`, slowest first.
    fn beside(isa: Isa) -> impl DoubleEndedIterator<Item = FusedDot> {
        FusedDot::ALL.into_iter().filter(move |dot| has_fused_dot(isa, *dot))
    }
}

impl Engine {
    /// The fastest engine that this processor has.
    pub fn detect() -> Engine {
        [Isa::Avx512, Isa::Avx2, Isa::Neon]
            .into_iter()
            .find_map(Engine::with_isa)
            .unwrap_or(Engine { isa: Isa::Portable, fused_dot: None })
    }

    /// The fastest engine for `isa`, or `None` where the processor lacks it.
    pub fn with_isa(isa: Isa) -> Option<Engine> {
        has(isa).then(|| Engine { isa, fused_dot: FusedDot::beside(isa).next_back() })
    }

    /// Every fast engine that this processor has, slowest first; each with every fused dot product that it has, and without. The
    /// definitions are not among them.
    pub fn available() -> Vec<Engine> {
        let of = |isa: Isa| {
            let dots = [None].into_iter().chain(FusedDot::beside(isa).map(Some));
            dots.map(move |fused_dot| Engine { isa, fused_dot })
        };
        let all = [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Neon];
        all.into_iter().filter(|isa| has(*isa)).flat_map(of).collect()
    }

    /// The engine that runs the plain scalar definitions.
    pub fn definition() -> Engine {
        Engine { isa: Isa::Definition, fused_dot: None }
    }

    /// The same engine on a processor without VNNI, or without dotprod and i8mm.
    pub fn without_fused_dot(self) -> Engine {
        Engine { fused_dot: None, ..self }
    }

    /// The instruction sets in a word.
    pub fn name(self) -> String {
        let isa = format!("{:?}", self.isa).to_lowercase();
        match self.fused_dot {
            None => isa,
            Some(dot) => format!("{isa}+{}", format!("{dot:?}").to_lowercase()),
        }
    }

    pub(super) fn fused_dot(self) -> Option<FusedDot> {
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
fn has_fused_dot(isa: Isa, dot: FusedDot) -> bool {
    match (isa, dot) {
        (Isa::Avx2, FusedDot::Vnni) => is_x86_feature_detected!("avxvnni"),
        (Isa::Avx512, FusedDot::Vnni) => is_x86_feature_detected!("avx512vnni"),
        _ => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn has_fused_dot(isa: Isa, dot: FusedDot) -> bool {
    match (isa, dot) {
        (Isa::Neon, FusedDot::Dotprod) => std::arch::is_aarch64_feature_detected!("dotprod"),
        (Isa::Neon, FusedDot::I8mm) => std::arch::is_aarch64_feature_detected!("i8mm"),
        _ => false,
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_fused_dot(_: Isa, _: FusedDot) -> bool {
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

    #[test]
    fn every_available_engine_has_a_name_of_its_own() {
        let names: Vec<String> = Engine::available().into_iter().map(Engine::name).collect();
        assert!((1..names.len()).all(|i| !names[..i].contains(&names[i])), "{names:?}");
        assert_eq!(Engine::detect().without_fused_dot().name(), format!("{:?}", Engine::detect().isa).to_lowercase());
    }
}
