//! Our loss and gradients against candle's autograd.

#[path = "../benches/peers/candle_llama.rs"]
mod candle_llama;
mod oracle_common;

use candle_llama::CandleLlama;
use oracle_common::Case;

/// |a - b| / |b|
fn relative(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let difference: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (difference / b.iter().map(|b| square((*b).into())).sum::<f64>()).sqrt()
}

#[test]
fn loss_and_every_gradient_are_those_of_candles_autograd() {
    for case in Case::all() {
        let (loss, gradients) = case.ours();
        let peer = CandleLlama::new(&case.model.config, &case.parameters, case.seq_len).unwrap();
        let peer_loss = peer.loss(&case.tokens).unwrap();
        let found = peer_loss.to_scalar::<f32>().unwrap();
        assert!((loss / f64::from(found) - 1.0).abs() < 1e-6, "{}: loss {loss}, candle's {found}", case.name);

        let store = peer_loss.backward().unwrap();
        for (tensor, variable) in case.model.layout.tensors.iter().zip(peer.variables()) {
            let found = store.get(variable).expect("every operator is differentiable");
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let error = relative(&gradients[tensor.range()], &found);
            assert!(error < 1e-5, "{}: {}: the gradients differ by {error:e} of their norm", case.name, tensor.name);
        }
    }
}
