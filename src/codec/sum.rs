//! The tensor sums of the arithmetic contract (A3) that the codecs' statistics need.

const LANES: usize = 32;
const BLOCK: usize = 4096;

/// The sum of values in order: A3 on blocks of 4096, A3 over the block sums, repeated.
pub fn tensor_sum(values: &[f32]) -> f32 {
    over_blocks(values, |lane, v| lane + v)
}

/// The sum of squares, which enter by fma.
pub fn tensor_sum_squares(values: &[f32]) -> f32 {
    over_blocks(values, |lane, v| v.mul_add(v, lane))
}

fn over_blocks(values: &[f32], step: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums: Vec<f32> = values.chunks(BLOCK).map(|b| row(b, &step)).collect();
    while sums.len() > 1 {
        sums = sums.chunks(BLOCK).map(|b| row(b, |a, v| a + v)).collect();
    }
    sums.first().copied().unwrap_or(0.0)
}

/// 32 lanes from +0, lane j over elements j, j+32, ...; then folded 16, 8, 4, 2, 1.
fn row(values: &[f32], step: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    for (i, &v) in values.iter().enumerate() {
        lanes[i % LANES] = step(lanes[i % LANES], v);
    }
    for width in [16, 8, 4, 2, 1] {
        for j in 0..width {
            lanes[j] += lanes[j + width];
        }
    }
    lanes[0]
}
