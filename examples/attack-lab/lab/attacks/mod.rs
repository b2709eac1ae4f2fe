//! The attackers, a file each.

mod against;
mod average;
mod collude;
mod copier;
mod fitter;
mod flipper;
mod hoarder;
mod honest;
mod idler;
mod inflater;
mod late;
mod little;
mod old;
mod several;
mod sybil;
mod unequal;

pub use against::Against;
pub use average::{Average, Parts};
pub use collude::{Collude, Pair};
pub use copier::{Copier, Perturbed};
pub use fitter::Fitter;
pub use flipper::Flipper;
pub use hoarder::Hoarder;
pub use honest::Honest;
pub use idler::Idler;
pub use inflater::Inflater;
pub use late::Late;
pub use little::Little;
pub use old::{Old, Stale};
pub use several::Several;
pub use sybil::{Ranks, Sybil};
pub use unequal::Unequal;

use super::round::{Attack, Scene, Sent};
use super::vectors::norm;
use super::work::Place;

/// The norm that honest updates of this round have.
fn usual_norm(scene: &Scene<'_>) -> f64 {
    let world = scene.places[0].world;
    let mut norms: Vec<f64> = scene.honest.iter().map(|sent| norm(&sent.made.sent(world))).collect();
    norms.sort_by(f64::total_cmp);
    norms[norms.len() / 2]
}

/// What each honest worker sends, decoded.
fn others(scene: &Scene<'_>) -> Vec<Vec<f32>> {
    scene.honest.iter().map(|sent| sent.made.sent(scene.places[0].world)).collect()
}

/// These values through the codec without error feedback, so that what is decoded has this norm.
fn made_up(place: &Place<'_>, values: &[f32], wanted: f64) -> Sent {
    let place = Place { feedback: None, ..*place };
    let once = place.send(values, place.made_up());
    let factor = wanted / norm(&once.sent(place.world)).max(1e-30);
    let made = place.send(&super::vectors::scaled(values, factor), place.made_up());
    Sent::made_up(&place.assignment.worker, made, 0)
}

/// Every attack of the table, by its name.
pub fn all() -> Vec<Box<dyn Attack>> {
    vec![
        Box::new(Honest { identities: 1 }),
        Box::new(Idler { norm: 1.0 }),
        Box::new(Idler { norm: 1e-3 }),
        Box::new(Copier),
        Box::new(Perturbed { noise: 0.3 }),
        Box::new(Perturbed { noise: 1.0 }),
        Box::new(Average { parts: Parts::All }),
        Box::new(Average { parts: Parts::Two }),
        Box::new(Flipper),
        Box::new(Against { identities: 3 }),
        Box::new(Inflater { factor: 10.0 }),
        Box::new(Inflater { factor: 1.5 }),
        Box::new(Hoarder),
        Box::new(Fitter),
        Box::new(Sybil { identities: 5, ranks: Ranks::Same }),
        Box::new(Sybil { identities: 5, ranks: Ranks::Apart }),
        Box::new(Collude { pair: Pair::BothTrain }),
        Box::new(Collude { pair: Pair::OneTrains }),
        Box::new(Late),
        Box::new(Old { kept: None }),
        Box::new(Stale { kept: None }),
        Box::new(Little { z: 0.3 }),
    ]
}
