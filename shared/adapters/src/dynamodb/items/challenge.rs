//! Challenge records: one item for each purpose and phone, or for each caller who verifies a phone.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::challenge::{Challenge, ChallengeRecord, Consumption, IdempotencyDigest};
use domain::rules::code_key::CodeKeyVersion;
use domain::rules::pumping::{CounterScope, VerificationCredit};
use domain::values::country::Country;
use domain::values::ids::{ChallengeId, SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::source_address::SourceAddress;
use domain::values::text::OrganizationId;

use super::attributes::{Corrupt, Item, Row, key, moment, number, text};
use crate::dynamodb::expression::Expression;

/// The attributes of a consumption.
pub(in crate::dynamodb) const CONSUMPTION: [&str; 4] =
    ["consumed_at", "consumed_idempotency", "consumed_user", "consumed_session"];
/// The attributes of an approval.
pub(in crate::dynamodb) const APPROVAL: [&str; 2] = ["approval_requested", "approved_by"];
/// The attributes of a credit.
pub(in crate::dynamodb) const CREDIT: [&str; 5] =
    ["credit_organization", "credit_country", "credit_source", "last_sent_at", "messages"];

pub(in crate::dynamodb) fn record_key(purpose: &Purpose, phone: &PhoneNumber) -> Item {
    match purpose {
        Purpose::SignIn => key(format!("{}#{}", purpose.name(), phone.e164())),
        Purpose::VerifyPhone { caller } => verification_key(caller),
    }
}

/// The key of a caller's pending verification, whichever phone it is for.
pub(in crate::dynamodb) fn verification_key(caller: &UserId) -> Item {
    key(format!("verify_phone#{caller}"))
}

/// The record of an item; none if its challenge was removed with its user.
pub(in crate::dynamodb) fn record_with_challenge(item: &Item) -> Result<Option<ChallengeRecord>, Corrupt> {
    if item.contains_key("challenge_id") { record(item).map(Some) } else { Ok(None) }
}

pub(in crate::dynamodb) fn record(item: &Item) -> Result<ChallengeRecord, Corrupt> {
    let row = Row(item);
    Ok(ChallengeRecord {
        phone: row.parsed("phone", PhoneNumber::from_e164)?,
        challenge: Challenge {
            id: row.parsed("challenge_id", str::parse::<ChallengeId>)?,
            key_version: CodeKeyVersion::new(row.text("key_version")?),
            expires_at: row.moment("code_expires_at")?,
            changes_number: row.flag("changes_number")?,
            fixed_code_of: row.optional("fixed_code_of", OrganizationId::parse)?,
            attempts_by_id: row.counts("attempts_by_id", str::parse::<ChallengeId>)?,
            attempts_without_id: row.number("attempts_without_id")?,
            consumption: consumption(&row)?,
            // A gateway that no longer exists is no reason to refuse a code.
            carrier: row.optional_text("carrier")?.and_then(|name| name.parse().ok()),
            approval_requested: row.flag("approval_requested")?,
            approved_by: row.optional("approved_by", str::parse::<UserId>)?,
            credit: credit(&row)?,
        },
        consecutive_failures: row.number("consecutive_failures")?,
        closed_until: row.moment("closed_until")?,
    })
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

pub(in crate::dynamodb) fn set_credit_scope(expression: Expression, scope: &CounterScope) -> Expression {
    expression
        .set("credit_organization", text(scope.organization.as_str()))
        .set("credit_country", text(scope.country.to_string()))
        .set("credit_source", text(scope.source.as_str()))
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

pub(in crate::dynamodb) fn attempts_by_id(attempts: &BTreeMap<ChallengeId, u32>) -> AttributeValue {
    AttributeValue::M(attempts.iter().map(|(id, attempts)| (id.as_str().to_owned(), number(attempts))).collect())
}

/// The condition that the record's challenge is this one and was not consumed.
pub(in crate::dynamodb) fn if_unconsumed(expression: Expression, challenge: &ChallengeId) -> Expression {
    expression.if_equals("challenge_id", text(challenge.as_str())).if_absent("consumed_at")
}

/// [`ChallengeRecord::consume`] as a write: of any number of consumptions at most one succeeds.
pub(in crate::dynamodb) fn consume(challenge: &ChallengeId, consumption: &Consumption) -> Expression {
    let mut expression = Expression::new()
        .set("consumed_at", moment(consumption.at))
        .set("consumed_user", text(consumption.user.as_str()))
        .set("consecutive_failures", number(0))
        .set("closed_until", number(0))
        // The source address is no longer needed.
        .remove("credit_source");
    if let Some(session) = &consumption.session {
        expression = expression.set("consumed_session", text(session.as_str()));
    }
    if let Some(idempotency) = &consumption.idempotency {
        expression = expression.set("consumed_idempotency", text(idempotency.as_str()));
    }
    if_unconsumed(expression, challenge)
}
