//! How many guesses at one number are compared, however a stranger spreads sends and guesses over the days: what SECURITY.md
//! states.

use domain::rules::challenge::{ChallengeRecord, Claim, GuessLane};
use domain::rules::code_key::CodeKeyVersion;
use domain::rules::failures::Failures;
use domain::rules::limits::Limits;
use domain::values::ids::ChallengeId;
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::source_address::SourceAddress;
use domain::values::text::OrganizationId;
use domain::values::time::{DAY, MINUTE, Timestamp};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
/// The most guesses in any day: five for each of ten sends, with an id and without one.
const MAX_A_DAY: usize = 100;

/// A stranger with any number of addresses, at a number of which nobody else asks for codes.
struct Stranger {
    limits: Limits,
    record: ChallengeRecord,
    sends: Vec<Timestamp>,
    now: Timestamp,
    /// When a guess was compared: with an id, and without one.
    compared: [Vec<Timestamp>; 2],
    next_id: u32,
}

impl Stranger {
    fn new() -> Self {
        Self {
            limits: Limits::default(),
            record: ChallengeRecord::default(),
            sends: Vec::new(),
            now: START,
            compared: [Vec::new(), Vec::new()],
            next_id: 0,
        }
    }

    fn send(&mut self) {
        if self.limits.next_send_at(&self.sends, self.now) > self.now {
            return;
        }
        self.sends.push(self.now);
        self.next_id += 1;
        let id = ChallengeId::from_random(u128::from(self.next_id).to_be_bytes());
        let challenge = match self.record.repeatable(self.now, &self.limits) {
            Some((live, _, attempts)) => {
                let mut live = live.clone();
                live.issued.insert(id, attempts);
                live
            }
            None => self.record.new_challenge(id, CodeKeyVersion::new("1"), self.now, &self.limits),
        };
        self.record.challenge = Some(challenge);
    }

    /// Guesses with an id or without one. Returns whether the guess was compared.
    fn guess(&mut self, challenge_id: Option<ChallengeId>) -> bool {
        let lane = usize::from(challenge_id.is_none());
        let claim = Claim {
            purpose: Purpose::SignIn { organization: OrganizationId::parse("default").unwrap() },
            phone: PhoneNumber::from_e164("+9779841234567").unwrap(),
            lane: GuessLane::of(challenge_id.as_ref()),
            challenge_id,
            idempotency: None,
            source: SourceAddress::of(None),
            now: self.now,
        };
        // Who knows the rules makes no guess that is counted and not compared.
        let Ok(next) = self.record.count(&claim, &self.limits) else { return false };
        if next.challenge_to_compare(&claim, &self.limits).is_err() {
            return false;
        }
        self.record = next;
        self.compared[lane].push(self.now);
        true
    }

    fn guess_all(&mut self, with_ids: bool, without_id: bool) {
        let ids = self.record.challenge.iter().flat_map(|challenge| challenge.issued.keys().cloned());
        for id in ids.collect::<Vec<_>>() {
            while with_ids && self.guess(Some(id.clone())) {}
        }
        while without_id && self.guess(None) {}
    }

    /// The next moment at which something that was refused may be possible.
    fn next_moment(&self) -> Timestamp {
        let moments = [
            self.limits.next_send_at(&self.sends, self.now),
            self.record.with_id.closed_until,
            self.record.without_id.closed_until,
        ];
        moments.into_iter().filter(|moment| *moment > self.now).min().unwrap_or(self.now.plus(MINUTE))
    }
}

/// The most of these moments within a day.
fn in_a_day(mut moments: Vec<Timestamp>) -> usize {
    moments.sort();
    let within = |first: &Timestamp| moments.iter().filter(|at| *at >= first && **at < first.plus(DAY)).count();
    moments.iter().map(within).max().unwrap_or(0)
}

fn total_in_a_day(stranger: &Stranger) -> usize {
    in_a_day(stranger.compared.concat())
}

/// Compared guesses in each of the first days: with an id, and without one.
fn by_day(stranger: &Stranger, days: i64) -> [Vec<usize>; 2] {
    let day = |at: &Timestamp| (at.seconds() - START.seconds()) / i64::from(DAY);
    let count = |lane: &Vec<Timestamp>, n| lane.iter().filter(|at| day(at) == n).count();
    stranger.compared.each_ref().map(|lane| (0..days).map(|n| count(lane, n)).collect())
}

/// A stranger who sends and guesses for two weeks whenever that is possible. Who is patient asks for a code only when it can
/// be tried at once. `resets` are the hours of each day at which the owner signs in, which resets the count of wrong codes.
fn two_weeks(is_patient: bool, resets: &[i64]) -> Stranger {
    let mut stranger = Stranger::new();
    let mut resets: Vec<_> = (0..14).flat_map(|day| resets.iter().map(move |hour| day * 24 + hour)).collect();
    resets.reverse();
    while stranger.now < START.plus(14 * DAY) {
        if resets.last().is_some_and(|hours| (stranger.now.seconds() - START.seconds()) / 3_600 >= *hours) {
            resets.pop();
            stranger.record.with_id = Failures::default();
        }
        let closed_until = stranger.record.with_id.closed_until.max(stranger.record.without_id.closed_until);
        if !is_patient || stranger.now >= closed_until {
            stranger.send();
        }
        stranger.guess_all(true, true);
        stranger.now = stranger.next_moment();
    }
    stranger
}

#[test]
fn a_hundred_guesses_with_ids_take_more_than_a_week_and_so_do_a_hundred_without() {
    for is_patient in [false, true] {
        let stranger = two_weeks(is_patient, &[]);
        let [with_ids, without] = by_day(&stranger, 14);
        println!("patient: {is_patient}; with ids, by day: {with_ids:?}; without: {without:?}");
        for lane in [with_ids, without] {
            assert!(lane[..7].iter().sum::<usize>() < 100, "{lane:?}");
        }
        assert!(total_in_a_day(&stranger) <= MAX_A_DAY);
    }
}

#[test]
fn each_sign_in_of_the_owner_gives_a_stranger_no_more_than_a_days_most() {
    for (is_patient, resets) in [(false, &[12][..]), (true, &[12]), (true, &[8, 12, 16, 20])] {
        let stranger = two_weeks(is_patient, resets);
        let [with_ids, without] = by_day(&stranger, 14);
        println!("patient: {is_patient}, owner at {resets:?}; with ids, by day: {with_ids:?}; without: {without:?}");
        assert!(total_in_a_day(&stranger) <= MAX_A_DAY);
        assert!(without.iter().sum::<usize>() <= by_day(&two_weeks(is_patient, &[]), 14)[1].iter().sum::<usize>());
    }
}

#[test]
fn however_a_stranger_spreads_sends_and_guesses_a_day_has_no_more_than_stated() {
    let step = (0..40 * MINUTE, any::<[bool; 3]>());
    proptest!(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() },
        |(steps in prop::collection::vec(step, 300))| {
        let mut stranger = Stranger::new();
        for (wait, [sends, with_ids, without_id]) in steps {
            if sends {
                stranger.send();
            }
            stranger.guess_all(with_ids, without_id);
            stranger.now = if wait < 20 * MINUTE { stranger.next_moment() } else { stranger.now.plus(wait) };
        }
        prop_assert!(total_in_a_day(&stranger) <= MAX_A_DAY);
        for lane in &stranger.compared {
            prop_assert!(in_a_day(lane.clone()) <= MAX_A_DAY / 2);
        }
    });
}
