//! Byte-pair encoding learnt from words (Sennrich et al., 2016, 1508.07909): again and again the pair of neighbours that
//! occurs most becomes a token.
//!
//! Nothing is left to chance: of pairs that occur equally often the one of the smaller ids is taken, first the left one's.
//! So the same words make the same merges on every machine.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

/// Two neighbours, by their ids.
type Pair = (u32, u32);

/// A pair that occurs less often makes no token.
const LEAST: u64 = 2;

/// What was learnt.
#[derive(Debug, PartialEq, Eq)]
pub struct Merges {
    /// Every token, by its id.
    pub tokens: Vec<String>,
    /// The pairs in the order in which they became tokens.
    pub merges: Vec<Pair>,
}

/// A word in parts, and how often it occurs.
struct Word {
    parts: Vec<u32>,
    count: u64,
}

/// How often a pair occurs, and in which words it may be.
#[derive(Default)]
struct Place {
    count: u64,
    words: Vec<u32>,
}

/// Learns from words with their counts until there are `size` tokens, or no pair is left that occurs twice. `tokens` are those
/// to begin with; every letter of the words is one of them.
pub fn learn<'a>(words: impl Iterator<Item = (&'a str, u64)>, tokens: Vec<String>, size: usize) -> Merges {
    let mut learning = Learning::new(words, tokens);
    while learning.tokens.len() < size && learning.step() {}
    Merges { tokens: learning.tokens, merges: learning.merges }
}

struct Learning {
    tokens: Vec<String>,
    ids: HashMap<String, u32>,
    merges: Vec<Pair>,
    words: Vec<Word>,
    places: HashMap<Pair, Place>,
    /// The pairs by their counts, of which some have fallen since.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Learning {
    fn new<'a>(words: impl Iterator<Item = (&'a str, u64)>, tokens: Vec<String>) -> Learning {
        let ids: HashMap<String, u32> = tokens.iter().cloned().zip(0..).collect();
        let mut letter = [0; 4];
        let mut parts = |word: &str| {
            let id = |letter: &str| *ids.get(letter).expect("every letter is a token");
            word.chars().map(|c| id(c.encode_utf8(&mut letter))).collect()
        };
        let words: Vec<Word> = words.map(|(word, count)| Word { parts: parts(word), count }).collect();
        let mut places: HashMap<Pair, Place> = HashMap::new();
        for (word, at) in words.iter().zip(0..) {
            word.parts.windows(2).for_each(|pair| add(&mut places, (pair[0], pair[1]), word.count, at));
        }
        let queue = places.iter().map(|(pair, place)| (place.count, Reverse(*pair))).collect();
        Learning { tokens, ids, merges: Vec::new(), words, places, queue }
    }

    /// The next merge; false where there is none.
    fn step(&mut self) -> bool {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            let now = self.places.get(&pair).map_or(0, |place| place.count);
            match () {
                () if now < LEAST => {
                    self.places.remove(&pair);
                }
                () if now != count => self.queue.push((now, Reverse(pair))),
                () => {
                    self.merge(pair);
                    return true;
                }
            }
        }
        false
    }

    fn merge(&mut self, pair: Pair) {
        let token = format!("{}{}", self.tokens[pair.0 as usize], self.tokens[pair.1 as usize]);
        // Two ways may lead to the same letters.
        let id = *self.ids.entry(token.clone()).or_insert(self.tokens.len() as u32);
        if id as usize == self.tokens.len() {
            self.tokens.push(token);
        }
        self.merges.push(pair);
        let place = self.places.remove(&pair).expect("the pair was counted");
        let mut risen = BTreeSet::new();
        for at in place.words {
            self.merge_in(at, pair, id, &mut risen);
        }
        for pair in risen {
            if let Some(place) = self.places.get(&pair) {
                self.queue.push((place.count, Reverse(pair)));
            }
        }
    }

    /// Merges a pair wherever it is in a word, from the left, and counts its neighbours anew.
    fn merge_in(&mut self, at: u32, pair: Pair, id: u32, risen: &mut BTreeSet<Pair>) {
        let Word { parts, count } = &mut self.words[at as usize];
        let mut done: Vec<u32> = Vec::with_capacity(parts.len());
        let mut i = 0;
        while i < parts.len() {
            if i + 1 == parts.len() || (parts[i], parts[i + 1]) != pair {
                done.push(parts[i]);
                i += 1;
                continue;
            }
            let (before, after) = (done.last().copied(), parts.get(i + 2).copied());
            let neighbours = [before.map(|b| ((b, pair.0), (b, id))), after.map(|a| ((pair.1, a), (id, a)))];
            for (old, new) in neighbours.into_iter().flatten() {
                // The merged pair itself is counted no more.
                if let Some(place) = self.places.get_mut(&old) {
                    place.count -= *count;
                }
                add(&mut self.places, new, *count, at);
                risen.insert(new);
            }
            done.push(id);
            i += 2;
        }
        *parts = done;
    }
}

/// Counts a pair in a word.
fn add(places: &mut HashMap<Pair, Place>, pair: Pair, count: u64, word: u32) {
    let place = places.entry(pair).or_default();
    place.count += count;
    if place.words.last() != Some(&word) {
        place.words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(letters: &str) -> Vec<String> {
        letters.chars().map(String::from).collect()
    }

    /// The definition: all pairs counted anew for every merge.
    fn by_definition(words: &[(&str, u64)], tokens: Vec<String>, size: usize) -> Merges {
        let mut learnt = Merges { tokens, merges: Vec::new() };
        let id = |tokens: &[String], token: &str| tokens.iter().position(|t| t == token).map(|id| id as u32);
        let mut words: Vec<(Vec<u32>, u64)> = words
            .iter()
            .map(|(word, n)| (word.chars().map(|c| id(&learnt.tokens, &c.to_string()).unwrap()).collect(), *n))
            .collect();
        while learnt.tokens.len() < size {
            let mut pairs: HashMap<Pair, u64> = HashMap::new();
            for (parts, n) in &words {
                parts.windows(2).for_each(|pair| *pairs.entry((pair[0], pair[1])).or_default() += n);
            }
            let best = pairs.into_iter().max_by_key(|(pair, n)| (*n, Reverse(*pair)));
            let Some((pair, _)) = best.filter(|(_, n)| *n >= LEAST) else { break };
            let token = format!("{}{}", learnt.tokens[pair.0 as usize], learnt.tokens[pair.1 as usize]);
            let new = id(&learnt.tokens, &token).unwrap_or(learnt.tokens.len() as u32);
            if new as usize == learnt.tokens.len() {
                learnt.tokens.push(token);
            }
            learnt.merges.push(pair);
            for (parts, _) in &mut words {
                let mut i = 0;
                while i + 1 < parts.len() {
                    if (parts[i], parts[i + 1]) == pair {
                        parts.splice(i..i + 2, [new]);
                    }
                    i += 1;
                }
            }
        }
        learnt
    }

    #[test]
    fn the_most_frequent_pair_is_merged_and_of_equals_the_smaller() {
        let found = learn([("ab", 3), ("cd", 3), ("bc", 9)].into_iter(), letters("abcd"), 6);
        assert_eq!(found.merges, [(1, 2), (0, 1)]);
        assert_eq!(found.tokens, ["a", "b", "c", "d", "bc", "ab"]);
        // A pair that occurs once makes no token, and then there are no more.
        assert_eq!(learn([("abcd", 1)].into_iter(), letters("abcd"), 9).tokens.len(), 4);
    }

    #[test]
    fn it_is_what_the_definition_says() {
        // Words of few letters: overlaps, runs, and letters that come together in several ways.
        let mut seed = 402u32;
        let mut draw = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
        for round in 0..300 {
            let words: Vec<(String, u64)> = (0..12)
                .map(|_| {
                    ((0..1 + draw(12)).map(|_| char::from(b'a' + draw(3) as u8)).collect(), 1 + u64::from(draw(4)))
                })
                .collect();
            let words: Vec<(&str, u64)> = words.iter().map(|(word, n)| (word.as_str(), *n)).collect();
            let expected = by_definition(&words, letters("abc"), 20);
            assert_eq!(learn(words.iter().copied(), letters("abc"), 20), expected, "round {round}: {words:?}");
        }
    }
}
