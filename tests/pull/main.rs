//! `l402 pull` and a hub on this machine: no test reaches any other.

mod desk;
mod hub;
mod offline;
mod path;
mod places;
mod refusals;
mod takes;
mod transfers;
