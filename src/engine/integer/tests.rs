use super::*;
use crate::engine::testing::{Numbers, assert_same_bits, on_every_engine};

type Product = fn(Engine, Mat<'_>, Mat<'_>, MatMut<'_>, Start);

/// The three products, with rows and columns of their operands.
fn products(m: usize, n: usize, k: usize) -> [(&'static str, Product, [usize; 4]); 3] {
    [
        ("nt", Engine::integer_nt, [m, k, n, k]),
        ("nn", Engine::integer_nn, [m, k, k, n]),
        ("tn", Engine::integer_tn, [k, m, k, n]),
    ]
}

/// Holds the three products of drawn matrices, each in a larger allocation, against their definitions.
fn check(
    engine: Engine,
    numbers: &mut Numbers,
    m: usize,
    n: usize,
    k: usize,
    draw: impl Fn(&mut Numbers, usize) -> Vec<f32>,
) {
    for (name, product, [a_rows, a_cols, b_rows, b_cols]) in products(m, n, k) {
        let [a_ld, b_ld, c_ld] = [a_cols, b_cols, n].map(|cols| cols + numbers.up_to(4) - 1);
        let (a, b) = (draw(numbers, a_rows * a_ld), draw(numbers, b_rows * b_ld));
        let c = numbers.tame(m * c_ld);
        for start in [Start::Zero, Start::Accumulate] {
            let run = |engine: Engine| {
                let mut c = c.clone();
                let a = Mat::with_ld(&a, a_rows, a_cols, a_ld);
                let b = Mat::with_ld(&b, b_rows, b_cols, b_ld);
                product(engine, a, b, MatMut::with_ld(&mut c, m, n, c_ld), start);
                c
            };
            assert_same_bits(
                &format!("{name} of {m} × {n} × {k}, {start:?}"),
                &run(engine),
                &run(Engine::definition()),
            );
        }
    }
}

#[test]
fn small_and_ragged_products_equal_their_definitions() {
    on_every_engine(|engine, numbers| {
        for _ in 0..10 {
            let (m, n, k) = (numbers.up_to(40), numbers.up_to(70), numbers.up_to(70));
            check(engine, numbers, m, n, k, Numbers::tame);
        }
        for (m, n, k) in [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (12, 32, 5), (24, 64, 1)] {
            check(engine, numbers, m, n, k, Numbers::wild);
        }
    });
}

#[test]
fn products_of_several_blocks_equal_their_definitions() {
    on_every_engine(|engine, numbers| {
        let (m, n) = (numbers.up_to(30), numbers.up_to(30));
        check(engine, numbers, m, n, 1100, Numbers::tame);
        check(engine, numbers, MC + 7, 50, 33, Numbers::tame);
        check(engine, numbers, 150, 150, 150, Numbers::tame);
        // A left operand so long that a block has fewer rows.
        check(engine, numbers, 13, 33, 2 * LEFT / 6 + 5, Numbers::tame);
        // A right one that is quantised in several passes.
        check(engine, numbers, 2, 2 * RIGHT / 40_000 + 9, 40_000, Numbers::tame);
    });
}

#[test]
fn every_number_at_the_largest_integer_is_summed_exactly() {
    // Short ones stay as they are, of longer ones the scale must give way; of either sign.
    let largest = LARGEST as f32;
    on_every_engine(|engine, numbers| {
        for k in [1, 2, 31, 32, 33, 34, 127, 129, 300, 1025] {
            check(engine, numbers, 7, 17, k, |_, count| vec![largest; count]);
            check(engine, numbers, 7, 17, k, |_, count| vec![-largest; count]);
            let ends = |numbers: &mut Numbers, count| {
                (0..count).map(|_| if numbers.up_to(9) == 1 { -largest } else { largest }).collect()
            };
            check(engine, numbers, 13, 33, k, ends);
        }
    });
}

#[test]
fn the_longest_k_of_the_largest_numbers_is_exact() {
    for engine in Engine::available() {
        let (a, b) = (vec![LARGEST as f32; LONGEST], vec![-LARGEST as f32; LONGEST]);
        let run = |engine: Engine| {
            let mut c = [1.0f32];
            let (a, b) = (Mat::new(&a, 1, LONGEST), Mat::new(&b, 1, LONGEST));
            engine.integer_nt(a, b, MatMut::new(&mut c, 1, 1), Start::Accumulate);
            c[0]
        };
        // Rounded once more so that the sum fits 32 bits: of 8127 are left 31.7, which is 32.
        assert_eq!(run(engine).to_bits(), run(Engine::definition()).to_bits(), "{engine:?}");
        assert_eq!(run(engine), 1.0 - (32.0 * 256.0f32).powi(2) * LONGEST as f32, "{engine:?}");
    }
}

#[test]
fn zeros_subnormals_and_a_huge_number_among_small_ones() {
    on_every_engine(|engine, numbers| {
        let rows_of = |kind: usize| {
            move |numbers: &mut Numbers, count: usize| -> Vec<f32> {
                let mut values = numbers.tame(count);
                for (i, x) in values.iter_mut().enumerate() {
                    match kind {
                        0 => *x = if i % 2 == 0 { 0.0 } else { -0.0 },
                        1 => *x = f32::from_bits(x.to_bits() & 0x807f_ffff),
                        2 if i % 37 == 0 => *x = f32::MAX,
                        3 => *x *= 1e-37,
                        4 => *x *= 1e33,
                        _ => {}
                    }
                }
                values
            }
        };
        for kind in 0..5 {
            check(engine, numbers, 9, 35, 77, rows_of(kind));
        }
    });
}

#[test]
fn what_is_not_finite_spoils_its_row_and_column_only() {
    on_every_engine(|engine, numbers| {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (m, n, k) = (14, 37, 90);
            let (mut a, b) = (numbers.tame(m * k), numbers.tame(n * k));
            a[5 * k + 3] = bad;
            let mut c = vec![0.0; m * n];
            engine.integer_nt(Mat::new(&a, m, k), Mat::new(&b, n, k), MatMut::new(&mut c, m, n), Start::Zero);
            for (i, row) in c.chunks(n).enumerate() {
                assert!(row.iter().all(|x| x.is_nan() == (i == 5)), "{engine:?}: row {i}");
            }
        }
    });
}

#[test]
fn a_product_is_near_the_true_one() {
    let mut numbers = Numbers::new(7);
    let (m, n, k) = (20, 20, 500);
    let (a, b) = (numbers.tame(m * k), numbers.tame(n * k));
    let mut c = vec![0.0; m * n];
    Engine::detect().integer_nt(Mat::new(&a, m, k), Mat::new(&b, n, k), MatMut::new(&mut c, m, n), Start::Zero);
    let norm =
        |x: &[f32]| x.iter().map(|x| x.abs().to_bits()).max().map_or(0.0, |bits| f64::from(f32::from_bits(bits)));
    for (i, row) in a.chunks(k).enumerate() {
        for (j, column) in b.chunks(k).enumerate() {
            let truth: f64 = row.iter().zip(column).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            // Each number is off by at most half a step, of 2^-12 of the largest.
            let bound = k as f64 * norm(row) * norm(column) / 4096.0;
            assert!((f64::from(c[i * n + j]) - truth).abs() < bound, "({i}, {j})");
        }
    }
}
