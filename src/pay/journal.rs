//! The journal's text: one line an entry, each with a digest over itself and all before it.
//!
//! A line is `<digest> <entry>`, the digest being BLAKE3 over the digest of the line before and the entry's canonical
//! JSON. What a crash cuts off is the end of the last line: it was never acted upon and is cut away. Anything else
//! that does not fit is damage, and refused: money hangs on every line.

use serde::{Deserialize, Serialize};

use super::amount::Msat;
use super::ids::{Instance, NodeId, OfferId};
use super::messages::{Claimed, Closing, Held, RungPreimage, Verdict};
use super::offer::Offer;
use super::state::State;
use crate::artifact::{Digest, canonical};
use crate::error::{Error, Result};

/// What happened, or is about to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// The first line: whose journal it is.
    Opened {
        /// The run folder.
        instance: Instance,
        /// The node.
        node: NodeId,
    },
    /// The offer is made, or taken into the books of a party that it concerns.
    Offered {
        /// The offer.
        offer: Box<Offer>,
    },
    /// The invoices of an offer: the worker is about to inject them, or the payer has checked them.
    Issued {
        /// The offer.
        offer: OfferId,
        /// In the order of the rungs.
        invoices: Vec<String>,
    },
    /// The payer is about to pay a rung, at most so much in fees.
    Locking {
        /// The offer.
        offer: OfferId,
        /// The rung.
        rung: u32,
        /// The most that its route may cost.
        fee_msat: Msat,
    },
    /// What a node said of a rung.
    Seen {
        /// The offer.
        offer: OfferId,
        /// The rung.
        rung: u32,
        /// Its state.
        state: State,
        /// What the payer's node sent in all, where the payment is complete: the amount and the fees.
        #[serde(skip_serializing_if = "Option::is_none")]
        sent_msat: Option<Msat>,
    },
    /// Every rung is held.
    Held {
        /// The worker's record.
        held: Held,
    },
    /// The list of commitments is closed.
    Closed {
        /// The judge's record.
        closing: Closing,
    },
    /// The verdict, before any preimage leaves.
    Judged {
        /// The judge's record.
        verdict: Verdict,
    },
    /// The worker has the verdict, and is about to claim and to cancel.
    Claiming {
        /// The judge's record.
        verdict: Verdict,
        /// The preimages.
        preimages: Vec<RungPreimage>,
        /// What had come in through each channel that holds an earned rung.
        before: Vec<Received>,
    },
    /// The worker is about to cancel rungs.
    Cancelling {
        /// The offer.
        offer: OfferId,
        /// The rungs.
        rungs: Vec<u32>,
    },
    /// The worker has its money.
    Claimed {
        /// The worker's record.
        claimed: Claimed,
    },
}

/// What had come in through a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// The channel.
    pub channel: String,
    /// What the node says it received over it so far.
    pub msat: Msat,
    /// What the verdict pays through it.
    pub due_msat: Msat,
}

/// A place in a journal: how many entries stand before it, and the digest over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Entries.
    pub length: u64,
    /// Digest of the last line.
    pub digest: Digest,
}

impl Head {
    /// Before the first entry.
    pub fn start() -> Head {
        Head { length: 0, digest: Digest::of_parts("l402/journal/1", &[]) }
    }

    fn after(&self, entry: &str) -> Head {
        let digest = Digest::of_parts("l402/journal/1", &[&self.digest.0, entry.as_bytes()]);
        Head { length: self.length + 1, digest }
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.length, self.digest)
    }
}

impl std::str::FromStr for Head {
    type Err = Error;

    fn from_str(text: &str) -> Result<Head> {
        let parsed = text
            .split_once(' ')
            .and_then(|(length, digest)| Some(Head { length: length.parse().ok()?, digest: digest.parse().ok()? }));
        parsed.ok_or_else(|| Error::data(format!("expected a number and a digest, found {text:?}")))
    }
}

/// A journal as it was read.
#[derive(Debug)]
pub struct Journal {
    /// The entries in order.
    pub entries: Vec<Entry>,
    /// The heads after each entry, so that an earlier one can be recognised.
    pub heads: Vec<Head>,
    /// How many bytes of the text are whole lines; the rest is torn and must be cut away.
    pub valid_len: u64,
}

impl Journal {
    /// Reads a journal's text. The end of the last line may be missing, or be zeros that a crash left; whatever else is
    /// wrong is refused with the number of its line.
    pub fn parse(bytes: &[u8]) -> Result<Journal> {
        let mut journal = Journal { entries: Vec::new(), heads: Vec::new(), valid_len: 0 };
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = journal.entries.len() + 1;
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                break;
            };
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            if after.iter().all(|b| *b == 0) && line.contains(&0) {
                break;
            }
            let head = journal.head();
            let (entry, head) = parse_line(line, &head).map_err(|why| damaged(number, &why))?;
            journal.entries.push(entry);
            journal.heads.push(head);
            journal.valid_len += end as u64 + 1;
            rest = after;
        }
        Ok(journal)
    }

    /// The last head.
    pub fn head(&self) -> Head {
        self.heads.last().copied().unwrap_or_else(Head::start)
    }

    /// Whether this head was the journal's once.
    pub fn passed(&self, head: &Head) -> bool {
        head == &Head::start() || self.heads.get(head.length.wrapping_sub(1) as usize) == Some(head)
    }

    /// The line of a new entry, and the head after it.
    pub fn line(head: &Head, entry: &Entry) -> Result<(String, Head)> {
        let mut value = serde_json::to_value(entry).map_err(|e| Error::bug(format!("journal entry: {e}")))?;
        remove_nulls(&mut value);
        let text = canonical::json(&value);
        let next = head.after(&text);
        Ok((format!("{} {text}\n", next.digest), next))
    }
}

fn remove_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(remove_nulls);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

fn damaged(line: usize, why: &str) -> Error {
    Error::data(format!("line {line}: the journal is damaged: {why}"))
        .hint("nothing was done; restore the journal from a copy that is not older than the last command")
}

fn parse_line(line: &[u8], head: &Head) -> std::result::Result<(Entry, Head), String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    let (digest, entry) = text.split_once(' ').ok_or("expected a digest and an entry")?;
    let next = head.after(entry);
    if next.digest.to_string() != digest {
        return Err("the digest does not fit the line".to_owned());
    }
    // What stands here may be secret: of the error only its place is told.
    let entry = serde_json::from_str(entry)
        .map_err(|e| format!("not an entry of this version, column {} of the entry", e.column()))?;
    Ok((entry, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(count: u32) -> String {
        let (mut text, mut head) = (String::new(), Head::start());
        for rung in 0..count {
            let entry = Entry::Locking { offer: OfferId([7; 32]), rung, fee_msat: Msat(5) };
            let (line, next) = Journal::line(&head, &entry).unwrap();
            text += &line;
            head = next;
        }
        text
    }

    #[test]
    fn what_a_crash_cuts_off_is_cut_away_wherever_it_stopped() {
        let text = journal(3);
        let two = journal(2).len();
        for end in two..text.len() {
            let read = Journal::parse(&text.as_bytes()[..end]).unwrap();
            assert_eq!((read.entries.len(), read.valid_len), (2, two as u64), "{end}");
        }
        let read = Journal::parse(text.as_bytes()).unwrap();
        assert_eq!((read.entries.len(), read.valid_len), (3, text.len() as u64));
        // A file that was extended before its content reached the disk ends in zeros.
        let mut zeros = journal(2).into_bytes();
        zeros.extend_from_slice(&[0; 50]);
        assert_eq!(Journal::parse(&zeros).unwrap().entries.len(), 2);
        zeros.extend_from_slice(b"\n");
        assert_eq!(Journal::parse(&zeros).unwrap().entries.len(), 2);
    }

    #[test]
    fn a_changed_missing_or_repeated_line_is_refused_with_its_number() {
        let text = journal(4);
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            match Journal::parse(&bytes) {
                Err(error) => assert!(error.to_string().contains("line "), "{error}"),
                // A line feed in place of another byte, or one that is gone, cuts lines; never without notice.
                Ok(read) => assert!(read.entries.len() < 4 && read.valid_len < text.len() as u64, "byte {at}"),
            }
        }
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for wrong in [[0, 2, 3, 1], [0, 0, 1, 2], [1, 2, 3, 3]] {
            let text: String = wrong.iter().map(|&i| lines[i]).collect();
            assert!(Journal::parse(text.as_bytes()).is_err());
        }
    }

    #[test]
    fn a_journal_knows_the_heads_that_it_passed_and_no_other() {
        let (long, short) = (journal(4), journal(2));
        let (long, short) = (Journal::parse(long.as_bytes()).unwrap(), Journal::parse(short.as_bytes()).unwrap());
        assert!(long.passed(&short.head()));
        assert!(!short.passed(&long.head()));
        assert!(long.passed(&Head::start()));
        let forged = Head { length: 2, ..long.head() };
        assert!(!long.passed(&forged));
        assert_eq!(long.head().to_string().parse::<Head>().unwrap(), long.head());
        assert!("3".parse::<Head>().is_err());
    }

    #[test]
    fn what_is_damaged_says_where_and_what_to_do_and_shows_nothing_of_it() {
        let text = journal(1);
        let (digest, _) = text.split_once(' ').unwrap();
        let of_another_version = format!("{} {{}}\n", Head::start().after("{}").digest);
        let unfit = format!("{digest} {{}}\n");
        let cases: [(&[u8], &str); 4] = [
            (b"\xff\n", "not UTF-8"),
            (b"rubbish\n", "expected a digest and an entry"),
            (unfit.as_bytes(), "the digest does not fit the line"),
            (of_another_version.as_bytes(), "not an entry of this version, column 2 of the entry"),
        ];
        for (bytes, why) in cases {
            let error = Journal::parse(bytes).unwrap_err();
            assert_eq!(error.to_string(), format!("line 1: the journal is damaged: {why}"));
            assert_eq!(
                (error.kind(), error.advice()),
                (
                    crate::error::Kind::Data,
                    Some("nothing was done; restore the journal from a copy that is not older than the last command")
                )
            );
        }
        let error = "3".parse::<Head>().unwrap_err();
        assert_eq!(error.to_string(), "expected a number and a digest, found \"3\"");
    }
}
