//! What becomes of a rung: the states, and which may follow which.

use std::fmt;

use crate::error::{Error, Result};

/// The state of one rung, as far as the owner of a journal has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The judge has offered it.
    Offered,
    /// The worker has an invoice for it.
    Issued,
    /// The payer has begun to pay.
    Locking,
    /// Nobody knows: a call was not answered, or the node does not say.
    Unknown,
    /// The payment waits at the worker's node.
    Held,
    /// The judge has decided.
    Judged,
    /// The preimage has left the judge, or the worker has it.
    Revealed,
    /// The worker has the money.
    Claimed,
    /// The payer has the money back, or never gave it.
    Cancelled,
    /// Its time passed before anything was locked.
    Expired,
}

use State::{Cancelled, Claimed, Expired, Held, Issued, Judged, Locking, Offered, Revealed, Unknown};

impl State {
    /// All of them.
    pub const ALL: [State; 10] =
        [Offered, Issued, Locking, Unknown, Held, Judged, Revealed, Claimed, Cancelled, Expired];

    /// The states that may come next. Each party sees a part of the way: a judge who does not pay goes from offered to
    /// held, a payer who does not judge from held to claimed.
    fn next(self) -> &'static [State] {
        match self {
            Offered => &[Issued, Held, Cancelled, Expired],
            Issued => &[Locking, Unknown, Held, Cancelled, Expired],
            Locking => &[Unknown, Held, Claimed, Cancelled, Expired],
            Unknown => &[Locking, Held, Judged, Claimed, Cancelled, Expired],
            Held => &[Unknown, Judged, Revealed, Claimed, Cancelled],
            Judged => &[Unknown, Revealed, Claimed, Cancelled],
            Revealed => &[Unknown, Claimed, Cancelled],
            Claimed | Cancelled | Expired => &[],
        }
    }

    /// The next state, refused where it may not follow. Seeing the same again changes nothing.
    pub fn to(self, next: State) -> Result<State> {
        if self == next || self.next().contains(&next) {
            return Ok(next);
        }
        Err(Error::refused(format!("a rung that is {self} cannot become {next}")))
    }

    /// Whether nothing can follow.
    pub fn is_final(self) -> bool {
        self.next().is_empty()
    }

    /// Whether the payer's money is in it, or may be.
    pub fn binds_money(self) -> bool {
        matches!(self, Locking | Unknown | Held | Judged | Revealed)
    }

    /// Its name, as records and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Offered => "offered",
            Issued => "issued",
            Locking => "locking",
            Unknown => "unknown",
            Held => "held",
            Judged => "judged",
            Revealed => "revealed",
            Claimed => "claimed",
            Cancelled => "cancelled",
            Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl serde::Serialize for State {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for State {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = State::ALL.into_iter().find(|s| s.name() == name);
        found.ok_or_else(|| serde::de::Error::custom(format!("expected a state, found {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_state_is_refused() {
        let error = serde_json::from_str::<State>("\"paid\"").unwrap_err().to_string();
        assert!(error.contains("expected a state, found \"paid\""), "{error}");
    }

    #[test]
    fn what_is_final_stays_and_everything_else_can_end() {
        for state in State::ALL {
            assert_eq!(state.is_final(), [Claimed, Cancelled, Expired].contains(&state));
            // From anywhere an end can be reached.
            let (mut seen, mut open) = (vec![state], vec![state]);
            while let Some(at) = open.pop() {
                for next in at.next() {
                    if !seen.contains(next) {
                        seen.push(*next);
                        open.push(*next);
                    }
                }
            }
            assert!(seen.iter().any(|s| s.is_final()), "{state}");
            for other in State::ALL {
                let allowed = state == other || state.next().contains(&other);
                assert_eq!(state.to(other).is_ok(), allowed, "{state} -> {other}");
            }
        }
    }

    #[test]
    fn money_once_claimed_is_never_revealed_cancelled_or_locked_again() {
        for next in [Offered, Issued, Locking, Unknown, Held, Judged, Revealed, Cancelled, Expired] {
            assert!(Claimed.to(next).is_err());
        }
        for next in [Locking, Held, Claimed, Revealed, Unknown] {
            assert!(Cancelled.to(next).is_err());
            assert!(Expired.to(next).is_err());
        }
    }

    #[test]
    fn a_name_is_read_back_as_the_state_it_was() {
        for state in State::ALL {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        }
        assert!(serde_json::from_str::<State>("\"paid\"").is_err());
    }
}
