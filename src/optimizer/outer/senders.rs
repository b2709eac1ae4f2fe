//! The mean over senders (`senders`), as Templar does it: each coordinate's sum by the number of updates that sent it.
//!
//! An update has sent a coordinate where its decoded value is not zero; what nobody sent is +0. Memory: one model, and a
//! count beside every parameter. On sparse payloads a step is as long as what a single update asks for, where the plain mean
//! divides by all: outer learning rates differ accordingly. A coordinate that one update alone has sent is that update's.

use super::given::Given;
use crate::error::Result;

/// The mean of every coordinate over those who sent it.
pub fn senders(given: &mut Given<'_>) -> Result<Vec<f32>> {
    let (engine, total) = (given.engine, given.total());
    let (mut sum, mut senders) = (vec![0f32; total], vec![0u32; total]);
    for update in 0..given.count() {
        given.read(update, |tensor, values| {
            engine.add_into(&mut sum[tensor.range()], &values);
            senders[tensor.range()].iter_mut().zip(&values).for_each(|(n, v)| *n += u32::from(*v != 0.0));
        })?;
    }
    for (sum, senders) in sum.iter_mut().zip(senders) {
        *sum = if senders == 0 { 0.0 } else { *sum * (1.0 / senders as f32) };
    }
    Ok(sum)
}
