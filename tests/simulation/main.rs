//! The real pipeline on ports in memory, in virtual time: whatever goes wrong, the laws hold at rest.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a run that cannot go on fails at that very line")]

#[path = "../support/declared.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod declared;

mod asking;
mod broker;
mod chance;
mod consumer;
mod crowd;
mod faults;
mod journal;
mod judge;
mod judge_embeds;
mod life;
mod owner;
mod peace;
mod plan;
mod run;
mod stage;
mod store;
mod store_epoch;
mod watch;

use crowd::Case;

/// How many seeds one test plays; there are four such tests, so that they run side by side.
const SEEDS: u64 = 500;

fn hold(cases: &[Case]) -> crowd::Tally {
    let tally = crowd::play_all(cases);
    if let Some(case) = tally.broken.first() {
        panic!("{}", case.report());
    }
    tally
}

/// Plays some seeds, each with every law kept.
fn come_to_rest(from: u64) {
    let cases: Vec<Case> = (from..from + SEEDS).map(Case::of_seed).collect();
    let tally = hold(&cases);
    assert_eq!(tally.runs, SEEDS);
    assert!(tally.counts["effects"] > 250_000, "{}", tally.table());
}

/// D1, D2, D3, D4, D5, D11, V1, V2, F1, F2, F3, F4, G1, G2, G3, G4, N1, N2, N3, N5, N8, M2, M3, P5, C5, C6: duplicates,
/// disorder, crashes at any point, pauses, lost leases and histories, late and wrong answers, and an app that treats
/// its documents as apps do, all at once.
#[test]
fn every_seed_comes_to_rest_with_every_law_kept() {
    come_to_rest(1);
}

#[test]
fn the_next_seeds_do_too() {
    come_to_rest(501);
}

#[test]
fn the_seeds_after_a_thousand_do_too() {
    come_to_rest(1_001);
}

#[test]
fn the_seeds_up_to_two_thousand_do_too() {
    come_to_rest(1_501);
}

/// D4, C6, M2: every effect on broker, owner and store, one by one, is the pod's last, fails, is lost, or is late.
#[test]
fn every_effect_may_be_struck_by_every_fault() {
    let cases = crowd::sweep();
    assert!(cases.len() > 700, "only {} cases", cases.len());
    hold(&cases);
}

/// A seed is worth nothing that does not show the same again.
#[test]
fn a_seed_shows_the_same_each_time() {
    for seed in [3, 44, 111, 1_999] {
        let lines = || Case::of_seed(seed).play(true).lines;
        let (first, second) = (lines(), lines());
        assert!(first.len() > 100, "seed {seed} has {} lines", first.len());
        assert_eq!(first, second, "seed {seed}");
    }
}
