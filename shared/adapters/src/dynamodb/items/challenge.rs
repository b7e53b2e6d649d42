//! The item of a phone's codes: the challenge of each purpose, and the guesses at all of them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::challenge::{
    Challenge, ChallengeRecord, Consumption, GuessLane, IdempotencyDigest, RECORD_KEPT_SECONDS,
};
use domain::rules::code_key::CodeKeyVersion;
use domain::rules::pumping::{CounterScope, VerificationCredit};
use domain::values::country::Country;
use domain::values::ids::{ChallengeId, SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::source_address::SourceAddress;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;

use super::attributes::{Corrupt, Item, Row, key, moment, number, text};
use super::failures::{FailureNames, OF_KNOWN_DEVICES, WITH_ID, WITHOUT_ID};
use crate::dynamodb::expression::Expression;

const PREFIX: &str = "challenge#";

pub(in crate::dynamodb) fn record_key(phone: &PhoneNumber) -> Item {
    key(format!("codes#{}", phone.e164()))
}

/// The attribute of a purpose's challenge, which is a map.
pub(in crate::dynamodb) fn challenge_name(purpose: &Purpose) -> String {
    let organization = purpose.organization().as_str();
    match purpose.caller() {
        None => format!("{PREFIX}{organization}"),
        Some(caller) => format!("{PREFIX}{organization}#{caller}"),
    }
}

fn purpose_of(name: &str) -> Option<Purpose> {
    let name = name.strip_prefix(PREFIX)?;
    let organization = |text| OrganizationId::parse(text).ok();
    match name.split_once('#') {
        None => Some(Purpose::SignIn { organization: organization(name)? }),
        Some((name, caller)) => {
            Some(Purpose::VerifyPhone { organization: organization(name)?, caller: caller.parse().ok()? })
        }
    }
}

/// The challenges of all purposes. One that is unreadable is omitted.
pub(in crate::dynamodb) fn challenges(item: &Item) -> impl Iterator<Item = (Purpose, Challenge)> {
    item.iter().filter_map(|(name, value)| Some((purpose_of(name)?, challenge(&Row(value.as_m().ok()?)).ok()?)))
}

/// The record of an item as a purpose sees it.
pub(in crate::dynamodb) fn record(item: &Item, purpose: &Purpose) -> Result<ChallengeRecord, Corrupt> {
    let row = Row(item);
    let own = item.get(&challenge_name(purpose)).map(|value| value.as_m().map_err(|_| Corrupt::new(PREFIX)));
    Ok(ChallengeRecord {
        challenge: own.transpose()?.map(|own| challenge(&Row(own))).transpose()?,
        with_id: WITH_ID.read(&row)?,
        without_id: WITHOUT_ID.read(&row)?,
        of_known_devices: OF_KNOWN_DEVICES.read(&row)?,
        guesses_without_id: row.optional_number("guesses_without_id")?.unwrap_or_default(),
    })
}

fn challenge(row: &Row<'_>) -> Result<Challenge, Corrupt> {
    Ok(Challenge {
        id: row.parsed("id", str::parse::<ChallengeId>)?,
        key_version: CodeKeyVersion::new(row.text("key_version")?),
        expires_at: row.moment("code_expires_at")?,
        changes_number: row.flag("changes_number")?,
        delayed_by: row.optional("delayed_by", str::parse::<KeyThumbprint>)?,
        has_fixed_code: row.flag("has_fixed_code")?,
        issued: issued(row)?,
        guesses_before: row.number("guesses_before")?,
        consumption: consumption(row)?,
        // A gateway that no longer exists is no reason to refuse a code.
        carrier: row.optional_text("carrier")?.and_then(|name| name.parse().ok()),
        approval_requested: row.flag("approval_requested")?,
        approved_by: row.optional("approved_by", str::parse::<UserId>)?,
        credit: credit(row)?,
    })
}

fn issued(row: &Row<'_>) -> Result<BTreeMap<ChallengeId, u32>, Corrupt> {
    let one = |(id, attempts): (&String, &AttributeValue)| {
        let attempts = attempts.as_n().ok().and_then(|attempts| attempts.parse().ok());
        Some((id.parse().ok()?, attempts?))
    };
    row.map("issued")?.iter().map(|issued| one(issued).ok_or(Corrupt::new("issued"))).collect()
}

/// A challenge that was not consumed, as the value of its attribute.
pub(in crate::dynamodb) fn challenge_value(challenge: &Challenge) -> AttributeValue {
    let issued = challenge.issued.iter().map(|(id, attempts)| (id.to_string(), number(attempts)));
    let mut members = vec![
        ("id", text(challenge.id.as_str())),
        ("key_version", text(challenge.key_version.as_str())),
        ("code_expires_at", moment(challenge.expires_at)),
        ("changes_number", AttributeValue::Bool(challenge.changes_number)),
        ("has_fixed_code", AttributeValue::Bool(challenge.has_fixed_code)),
        ("issued", AttributeValue::M(issued.collect())),
        ("guesses_before", number(challenge.guesses_before)),
    ];
    members.extend(challenge.delayed_by.as_ref().map(|key| ("delayed_by", text(key.as_str()))));
    members.extend(challenge.carrier.map(|gateway| ("carrier", text(gateway.name()))));
    if let Some(VerificationCredit { scope, last_sent_at, messages }) = &challenge.credit {
        members.extend(credit_scope(scope));
        members.extend([("last_sent_at", moment(*last_sent_at)), ("messages", number(messages))]);
    }
    AttributeValue::M(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn credit(row: &Row<'_>) -> Result<Option<VerificationCredit>, Corrupt> {
    let Some(source) = row.optional_text("credit_source")? else { return Ok(None) };
    let scope = CounterScope {
        organization: row.parsed("credit_organization", OrganizationId::parse)?,
        country: row.parsed("credit_country", str::parse::<Country>)?,
        source: SourceAddress::stored(source),
    };
    let (last_sent_at, messages) = (row.moment("last_sent_at")?, row.number("messages")?);
    Ok(Some(VerificationCredit { scope, last_sent_at, messages }))
}

pub(in crate::dynamodb) fn credit_scope(scope: &CounterScope) -> [(&'static str, AttributeValue); 3] {
    [
        ("credit_organization", text(scope.organization.as_str())),
        ("credit_country", text(scope.country.to_string())),
        ("credit_source", text(scope.source.as_str())),
    ]
}

/// How a challenge or a Firebase token was consumed, if it was.
pub(in crate::dynamodb) fn consumption(row: &Row<'_>) -> Result<Option<Consumption>, Corrupt> {
    let Some(at) = row.optional_moment("consumed_at")? else { return Ok(None) };
    let digest = row.optional_text("consumed_idempotency")?;
    Ok(Some(Consumption {
        at,
        idempotency: digest.map(|digest| IdempotencyDigest::new(digest.to_owned())),
        user: row.parsed("consumed_user", str::parse::<UserId>)?,
        session: row.optional("consumed_session", str::parse::<SessionId>)?,
    }))
}

/// The condition that the purpose's challenge is this one and was not consumed. `name` is [`challenge_name`].
pub(in crate::dynamodb) fn if_unconsumed(expression: Expression, name: &str, challenge: &ChallengeId) -> Expression {
    expression.if_equals([name, "id"], text(challenge.as_str())).if_absent([name, "consumed_at"])
}

/// [`ChallengeRecord::consume`] as a write: of any number of consumptions at most one succeeds.
pub(in crate::dynamodb) fn consume(
    purpose: &Purpose,
    challenge: &ChallengeId,
    lane: GuessLane,
    consumption: &Consumption,
) -> Expression {
    let name = &*challenge_name(purpose);
    let mut expression = Expression::new()
        .set([name, "consumed_at"], moment(consumption.at))
        .set([name, "consumed_user"], text(consumption.user.as_str()))
        // The source address is no longer needed.
        .remove([name, "credit_source"]);
    if let Some(session) = &consumption.session {
        expression = expression.set([name, "consumed_session"], text(session.as_str()));
    }
    if let Some(idempotency) = &consumption.idempotency {
        expression = expression.set([name, "consumed_idempotency"], text(idempotency.as_str()));
    }
    FailureNames::of(lane).reset(if_unconsumed(expression, name, challenge))
}

/// Keeps the item long enough from now on.
pub(in crate::dynamodb) fn keep(expression: Expression, now: Timestamp) -> Expression {
    expression.set("expires_at", moment(now.plus(RECORD_KEPT_SECONDS)))
}
