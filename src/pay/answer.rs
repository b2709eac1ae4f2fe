//! What `xpay` answers, and what that says of a rung.
//!
//! None of it is an end: who refuses now may take the same invoice a block later. A rung came to nothing when the node lists
//! no payment of it that is under way, and its time to be locked has passed.

/// What an error code of `xpay` says of the payment that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayAnswer {
    /// It is under way already.
    UnderWay,
    /// The hash was paid before, for this amount or another: it is never paid again.
    PaidBefore,
    /// The invoice has expired, and the payee issues no other for this offer.
    Expired,
    /// The node does not know the method, or not these parameters.
    NotUnderstood,
    /// The payee said no: it cancelled, or does not have the invoice yet, or sees another height (Core Lightning before
    /// 25.12). Nobody can tell which from here.
    RefusedByPayee,
    /// No route, a peer that is away, too high a fee, and whatever else may pass.
    NotNow,
}

impl PayAnswer {
    /// By Core Lightning's code.
    pub fn of(code: i32) -> PayAnswer {
        match code {
            -3 => PayAnswer::UnderWay,
            201 | 219 => PayAnswer::PaidBefore,
            207 => PayAnswer::Expired,
            203 => PayAnswer::RefusedByPayee,
            ..=-32600 => PayAnswer::NotUnderstood,
            _ => PayAnswer::NotNow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_no_end() {
        let by = |codes: &[i32]| codes.iter().map(|code| PayAnswer::of(*code)).collect::<Vec<_>>();
        assert_eq!(by(&[-3, 203]), [PayAnswer::UnderWay, PayAnswer::RefusedByPayee]);
        assert_eq!(by(&[201, 219]), [PayAnswer::PaidBefore; 2]);
        assert_eq!(by(&[207]), [PayAnswer::Expired]);
        assert_eq!(by(&[-32600, -32601, -32602, -32700]), [PayAnswer::NotUnderstood; 4]);
        assert_eq!(by(&[-1, -4, 202, 204, 205, 206, 209, 210, 0, i32::MAX]), [PayAnswer::NotNow; 10]);
    }
}
