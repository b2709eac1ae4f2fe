//! What the operators' tests share: seeded numbers of every kind, runs on every engine and thread count, comparison bit by bit.

use super::machine::Engine;
use super::philox::philox;

/// Numbers drawn one after the other from a key.
pub(super) struct Numbers {
    key: u32,
    drawn: u32,
}

impl Numbers {
    pub(super) fn new(key: u32) -> Numbers {
        Numbers { key, drawn: 0 }
    }

    fn word(&mut self) -> u32 {
        self.drawn += 1;
        philox([self.key, 0x7e57], [self.drawn, 0, 0, 0])[0]
    }

    /// 1 to `greatest`.
    pub(super) fn up_to(&mut self, greatest: usize) -> usize {
        1 + self.word() as usize % greatest
    }

    /// Mostly within ±4, with zeros of both signs, subnormals and larger values among them; products and sums of a few
    /// thousand stay finite.
    pub(super) fn tame(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value(1e4)).collect()
    }

    /// As `tame`, with values up to 1e37.
    pub(super) fn wild(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value(1e37)).collect()
    }

    fn value(&mut self, large: f32) -> f32 {
        let kind = self.word();
        let bits = self.word();
        let sign = bits & 0x8000_0000;
        let plain = (bits as f32 / 4_294_967_296.0 - 0.5) * 8.0;
        match kind % 64 {
            0 => f32::from_bits(sign),
            1 => f32::from_bits(sign | bits & 0x007f_ffff),
            2 => f32::from_bits(sign | bits & 0x00ff_ffff),
            3 => plain / 4.0 * large,
            4 => plain * 1e-30,
            5 => plain * 20.0,
            _ => plain,
        }
    }
}

/// Runs `test` for every available engine, on 1, 2, 3 and 8 threads, with other numbers each time.
pub(super) fn on_every_engine(test: impl Fn(Engine, &mut Numbers) + Sync) {
    for engine in Engine::available() {
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
            pool.install(|| test(engine, &mut Numbers::new(threads as u32)));
        }
    }
}

/// Panics at the first element whose bits differ; all NaN are alike.
#[track_caller]
pub(super) fn assert_same_bits(what: &str, ours: &[f32], truth: &[f32]) {
    assert_eq!(ours.len(), truth.len(), "{what}: lengths");
    for (i, (a, b)) in ours.iter().zip(truth).enumerate() {
        let same = a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert!(same, "{what}: element {i} of {} is {a:e}, by definition {b:e}", truth.len());
    }
}

/// Panics unless `gradient` is near the central differences of `loss` at `x`.
#[track_caller]
pub(super) fn assert_slope(loss: impl Fn(&[f64]) -> f64, x: &[f32], gradient: &[f32]) {
    let at: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for i in 0..at.len() {
        let step = 1e-5;
        let moved = |by: f64| {
            let mut moved = at.clone();
            moved[i] += by;
            loss(&moved)
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        let ours = f64::from(gradient[i]);
        let tolerance = 2e-5 * (1.0 + slope.abs());
        assert!((ours - slope).abs() < tolerance, "gradient {i} is {ours}, the slope {slope}");
    }
}
