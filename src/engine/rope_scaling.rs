//! How models stretch RoPE's waves beyond the context that they were first trained with (`rope_scaling` in a `config.json`).
//! Everything is in f64 with `libm`; `RopeTable` rounds once.

/// A way of stretching.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// `llama3`
    Llama3(Llama3),
    /// `linear`
    Linear(Linear),
    /// `yarn`
    Yarn(Yarn),
}

/// Llama 3's stretching of the lower frequencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llama3 {
    /// What wavelengths are stretched by.
    pub factor: f64,
    /// Wavelengths above the original context over this are stretched in full.
    pub low_freq_factor: f64,
    /// Wavelengths below the original context over this stay as they are.
    pub high_freq_factor: f64,
    /// The context length, in tokens, that the model was first trained with.
    pub original_max_position_embeddings: f64,
}

/// Every wave stretched alike (Chen et al., "Extending context window", 2023).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// What wavelengths are stretched by.
    pub factor: f64,
}

/// YaRN (Peng et al., 2023): waves that turn often in the original context stay, those that turn less than once are stretched, and a
/// ramp over the pairs of a head lies between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// What wavelengths are stretched by.
    pub factor: f64,
    /// The context length, in tokens, that the model was first trained with.
    pub original_max_position_embeddings: f64,
    /// Turns in the original context from which a wave stays as it is.
    pub beta_fast: f64,
    /// Turns below which it is stretched in full.
    pub beta_slow: f64,
    /// Whether the ramp's ends are whole pairs.
    pub truncate: bool,
    /// What cosines and sines are multiplied by.
    pub attention_factor: f64,
}

impl RopeScaling {
    /// Stretches the frequencies of the pairs of a head, of base `theta`.
    pub(super) fn stretch(&self, theta: f64, frequencies: &mut [f64]) {
        match self {
            RopeScaling::Llama3(llama3) => frequencies.iter_mut().for_each(|f| *f = llama3.stretch(*f)),
            RopeScaling::Linear(linear) => frequencies.iter_mut().for_each(|f| *f /= linear.factor),
            RopeScaling::Yarn(yarn) => yarn.stretch(theta, frequencies),
        }
    }

    /// What cosines and sines are multiplied by.
    pub(super) fn attention_factor(&self) -> f64 {
        match self {
            RopeScaling::Yarn(yarn) => yarn.attention_factor,
            _ => 1.0,
        }
    }
}

impl Llama3 {
    fn stretch(&self, frequency: f64) -> f64 {
        let wavelength = 2.0 * std::f64::consts::PI / frequency;
        let original = self.original_max_position_embeddings;
        if wavelength < original / self.high_freq_factor {
            frequency
        } else if wavelength > original / self.low_freq_factor {
            frequency / self.factor
        } else {
            let span = self.high_freq_factor - self.low_freq_factor;
            let smooth = (original / wavelength - self.low_freq_factor) / span;
            (1.0 - smooth) * frequency / self.factor + smooth * frequency
        }
    }
}

impl Yarn {
    /// The attention factor of a model that names none: 0.1 m ln(factor) + 1, or the quotient of two such.
    pub fn usual_attention_factor(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
        let of = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * libm::log(factor) + 1.0 };
        match (mscale, mscale_all_dim) {
            (Some(m), Some(all)) if m != 0.0 && all != 0.0 => of(m) / of(all),
            _ => of(1.0),
        }
    }

    /// The pair of a head of `pairs` pairs that turns so often in the original context.
    fn pair_of(&self, turns: f64, theta: f64, pairs: usize) -> f64 {
        let length = self.original_max_position_embeddings / (turns * 2.0 * std::f64::consts::PI);
        (2 * pairs) as f64 * libm::log(length) / (2.0 * libm::log(theta))
    }

    fn stretch(&self, theta: f64, frequencies: &mut [f64]) {
        let pairs = frequencies.len();
        let (low, high) = (self.pair_of(self.beta_fast, theta, pairs), self.pair_of(self.beta_slow, theta, pairs));
        let (low, high) = if self.truncate { (libm::floor(low), libm::ceil(high)) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min((2 * pairs - 1) as f64));
        let high = if low == high { high + 0.001 } else { high };
        for (i, frequency) in frequencies.iter_mut().enumerate() {
            let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            *frequency = *frequency / self.factor * ramp + *frequency * (1.0 - ramp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(length: f64) -> f64 {
        2.0 * std::f64::consts::PI / length
    }

    #[test]
    fn llama3_scaling_stretches_only_long_waves() {
        let scaling = Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192.0,
        };
        assert_eq!(scaling.stretch(wave(100.0)), wave(100.0));
        assert_eq!(scaling.stretch(wave(10_000.0)), wave(10_000.0) / 8.0);
        let between = scaling.stretch(wave(4096.0));
        assert!(between < wave(4096.0) && between > wave(4096.0) / 8.0);
    }

    #[test]
    fn yarn_leaves_short_waves_and_stretches_long_ones() {
        let yarn = Yarn {
            factor: 4.0,
            original_max_position_embeddings: 4096.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate: true,
            attention_factor: Yarn::usual_attention_factor(4.0, None, None),
        };
        let plain: Vec<f64> = (0..32).map(|i| 1.0 / libm::pow(1e4, f64::from(i) / 32.0)).collect();
        let mut stretched = plain.clone();
        yarn.stretch(1e4, &mut stretched);
        // 4096 tokens are 32 turns at pair 10.5, and one at 22.5.
        for (i, (plain, stretched)) in plain.iter().zip(&stretched).enumerate() {
            match i {
                0..=10 => assert_eq!(plain, stretched),
                23.. => assert_eq!(*stretched, plain / 4.0),
                _ => assert!(stretched < plain && *stretched > plain / 4.0),
            }
        }
        assert!((yarn.attention_factor - 1.138_629).abs() < 1e-6);
        assert_eq!(Yarn::usual_attention_factor(40.0, Some(1.0), Some(1.0)), 1.0);
    }
}
