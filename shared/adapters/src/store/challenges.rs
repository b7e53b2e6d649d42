//! Challenge records: the claim as one conditional write.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, Update};
use domain::challenge::{
    Challenge, ChallengeRecord, Claim, ClaimOutcome, ClaimRefusal, Consumed, IdempotencyDigest, Purpose,
};
use domain::code::CodeKeyVersion;
use domain::gateway::Gateway;
use domain::ids::{ChallengeId, MalformedId, SessionId, UserId};
use domain::limits::Limits;
use domain::phone::{Country, PhoneNumber};
use domain::pumping::{CountedOn, Credit};
use domain::send_otp::{Repeat, SourceAddress, Told};
use domain::text::OrganizationId;
use domain::{Timestamp, Unavailable};

use super::item::{Corrupt, Row, key, moment, number, text};
use super::transaction::ALL_OLD;
use super::{Item, Store};
use crate::config::Table;
use crate::telemetry::trace;

/// How often a claim is tried again because another one changed the record in between. Each round, one of them wins,
/// and after five wins none is left to be had; closed records and replays take longer ways.
const CLAIMS: usize = 12;

/// The key of a record: one per purpose and phone, or per purpose and caller.
pub(super) fn record_key(purpose: &Purpose, phone: &PhoneNumber) -> Item {
    match purpose {
        Purpose::SignIn => key(format!("{}#{}", purpose.name(), phone.e164())),
        Purpose::VerifyPhone { caller } => verification_key(caller),
    }
}

/// The key of a caller's pending verification, whichever phone it is of.
pub(super) fn verification_key(caller: &UserId) -> Item {
    key(format!("verify_phone#{caller}"))
}

/// Reads a record.
pub(super) fn record(item: &Item) -> Result<ChallengeRecord, Corrupt> {
    let row = Row(item);
    let consumed = consumed_by(&row)?;
    Ok(ChallengeRecord {
        phone: row.parsed("phone", PhoneNumber::from_e164)?,
        challenge: Challenge {
            id: row.parsed("challenge_id", |id| -> Result<ChallengeId, MalformedId> { id.parse() })?,
            key_version: CodeKeyVersion::new(row.text("key_version")?),
            expires_at: row.moment("code_expires_at")?,
            changes_number: row.flag("changes_number")?,
            fixed_code_of: row.optional("fixed_code_of", OrganizationId::parse)?,
            told: row.counts("told", |id| -> Result<ChallengeId, MalformedId> { id.parse() })?,
            unbound_attempts: row.number("unbound_attempts")?,
            consumed,
            // A name that is no gateway's any more is no reason to refuse a code.
            carried_by: row.optional_text("carried_by")?.and_then(|name| name.parse().ok()),
            is_approval_asked: row.flag("is_approval_asked")?,
            approved_by: row.optional("approved_by", str::parse::<UserId>)?,
            credit: credit(&row)?,
        },
        failures: row.number("failures")?,
        closed_until: row.moment("closed_until")?,
    })
}

/// What a record's challenge was counted on, if it was.
fn credit(row: &Row<'_>) -> Result<Option<Credit>, Corrupt> {
    let Some(source) = row.optional_text("counted_source")? else { return Ok(None) };
    let counted_on = CountedOn {
        organization: row.parsed("counted_organization", OrganizationId::parse)?,
        country: row.parsed("counted_country", str::parse::<Country>)?,
        source: SourceAddress::stored(source),
    };
    Ok(Some(Credit { counted_on, last_at: row.moment("counted_at")?, messages: row.number("messages")? }))
}

/// The attributes that say what a challenge's last message was counted on, as an update sets them; beside `messages`.
fn counted(on: &CountedOn) -> [(&'static str, String); 3] {
    [
        ("counted_organization", on.organization.as_str().to_owned()),
        ("counted_country", on.country.to_string()),
        ("counted_source", on.source.as_str().to_owned()),
    ]
}

/// How a record's challenge was consumed, if it was.
pub(super) fn consumed_by(row: &Row<'_>) -> Result<Option<Consumed>, Corrupt> {
    let Some(at) = row.optional_moment("consumed_at")? else { return Ok(None) };
    Ok(Some(Consumed {
        at,
        idempotency: row.optional_text("consumed_idempotency")?.map(|digest| IdempotencyDigest::new(digest.to_owned())),
        user: row.parsed("consumed_user", str::parse::<UserId>)?,
        session: row.optional("consumed_session", str::parse::<SessionId>)?,
    }))
}

/// Starts a challenge: the counts of wrong codes in a row stay.
pub(super) fn start_challenge(
    table: &str,
    purpose: &Purpose,
    phone: &PhoneNumber,
    challenge: &Challenge,
    keep_until: Timestamp,
) -> UpdateBuilder {
    let mut set = "SET phone = :phone, challenge_id = :id, key_version = :key, code_expires_at = :code_expires, \
                   changes_number = :changes, told = :told, unbound_attempts = :zero, expires_at = :keep, \
                   failures = if_not_exists(failures, :zero), closed_until = if_not_exists(closed_until, :zero)"
        .to_owned();
    let mut remove = " REMOVE consumed_at, consumed_idempotency, consumed_user, consumed_session, is_approval_asked, \
                      approved_by"
        .to_owned();
    let mut update = Update::builder();
    let optional = [
        ("fixed_code_of", challenge.fixed_code_of.as_ref().map(OrganizationId::as_str)),
        ("carried_by", challenge.carried_by.map(Gateway::name)),
    ];
    for (name, value) in optional {
        match value {
            Some(value) => {
                set.push_str(&format!(", {name} = :{name}"));
                update = update.expression_attribute_values(format!(":{name}"), text(value));
            }
            None => remove.push_str(&format!(", {name}")),
        }
    }
    match &challenge.credit {
        Some(Credit { counted_on, last_at, messages }) => {
            set.push_str(", counted_at = :counted_at, messages = :messages");
            update = update
                .expression_attribute_values(":counted_at", moment(*last_at))
                .expression_attribute_values(":messages", number(messages));
            for (name, value) in counted(counted_on) {
                set.push_str(&format!(", {name} = :{name}"));
                update = update.expression_attribute_values(format!(":{name}"), text(value));
            }
        }
        None => remove.push_str(", counted_organization, counted_country, counted_source, counted_at, messages"),
    }
    update
        .table_name(table)
        .set_key(Some(record_key(purpose, phone)))
        .update_expression(set + &remove)
        .expression_attribute_values(":phone", text(phone.e164()))
        .expression_attribute_values(":id", text(challenge.id.as_str()))
        .expression_attribute_values(":told", told(&challenge.told))
        .expression_attribute_values(":key", text(challenge.key_version.as_str()))
        .expression_attribute_values(":code_expires", moment(challenge.expires_at))
        .expression_attribute_values(":changes", AttributeValue::Bool(challenge.changes_number))
        .expression_attribute_values(":zero", number(0))
        .expression_attribute_values(":keep", moment(keep_until))
}

/// The ids that a challenge's sends told, as an attribute.
fn told(told: &BTreeMap<ChallengeId, u32>) -> AttributeValue {
    AttributeValue::M(told.iter().map(|(id, tries)| (id.as_str().to_owned(), number(tries))).collect())
}

/// Notes of a live challenge what changes as it is sent again: its ids, its gateway, and one more message.
pub(super) fn repeat_challenge(
    table: &str,
    purpose: &Purpose,
    phone: &PhoneNumber,
    repeat: &Repeat,
    now: Timestamp,
) -> UpdateBuilder {
    let (mut set, mut add) = (Vec::new(), "");
    let mut condition = "challenge_id = :id AND attribute_not_exists(consumed_at)".to_owned();
    let mut update = Update::builder();
    if let Some(Told { id, least_tried, tries }) = &repeat.told {
        // A try that was claimed since the send was planned would otherwise be given back.
        condition.push_str(" AND told.#least = :tries");
        set.push("told.#told = :tries".to_owned());
        update = update
            .expression_attribute_names("#least", least_tried.as_str())
            .expression_attribute_names("#told", id.as_str())
            .expression_attribute_values(":tries", number(tries));
    }
    if let Some(gateway) = repeat.gateway {
        set.push("carried_by = :gateway".to_owned());
        update = update.expression_attribute_values(":gateway", text(gateway.name()));
    }
    if let Some(on) = &repeat.counted_on {
        set.push("counted_at = :now".to_owned());
        add = " ADD messages :one";
        update = update.expression_attribute_values(":now", moment(now)).expression_attribute_values(":one", number(1));
        for (name, value) in counted(on) {
            set.push(format!("{name} = :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), text(value));
        }
    }
    update
        .table_name(table)
        .set_key(Some(record_key(purpose, phone)))
        .update_expression(format!("SET {}{add}", set.join(", ")))
        .condition_expression(condition)
        .expression_attribute_values(":id", text(repeat.challenge.as_str()))
}

/// [`ChallengeRecord::consume`] as a step of a transaction: at most one of any number gets through.
pub(super) fn consume(
    table: &str,
    purpose: &Purpose,
    phone: &PhoneNumber,
    challenge: &ChallengeId,
    consumed: &Consumed,
) -> UpdateBuilder {
    let mut set = "SET consumed_at = :at, consumed_user = :user, failures = :zero, closed_until = :zero".to_owned();
    let mut update = Update::builder();
    if let Some(session) = &consumed.session {
        set.push_str(", consumed_session = :session");
        update = update.expression_attribute_values(":session", text(session.as_str()));
    }
    if let Some(idempotency) = &consumed.idempotency {
        set.push_str(", consumed_idempotency = :idempotency");
        update = update.expression_attribute_values(":idempotency", text(idempotency.as_str()));
    }
    update
        .table_name(table)
        .set_key(Some(record_key(purpose, phone)))
        // Whose address asked is of no more use.
        .update_expression(set + " REMOVE counted_source")
        .condition_expression("challenge_id = :id AND attribute_not_exists(consumed_at)")
        .expression_attribute_values(":id", text(challenge.as_str()))
        .expression_attribute_values(":at", moment(consumed.at))
        .expression_attribute_values(":user", text(consumed.user.as_str()))
        .expression_attribute_values(":zero", number(0))
}

enum Attempted {
    Counted(ChallengeRecord),
    Met(Option<ChallengeRecord>),
}

impl Store {
    /// Counts a try, or says why there is none, before anything is compared. In the common case this is one write
    /// whose condition is [`ChallengeRecord::claim`] spelled out; where that fails, the transition is applied to the
    /// record that the condition met, and written only if the record has not changed since.
    pub(super) async fn claim_attempt(&self, claim: &Claim, limits: &Limits) -> Result<ClaimOutcome, Unavailable> {
        let mut attempted = self.write_claim(self.plain_claim(claim, limits)).await?;
        for _ in 0..CLAIMS {
            let met = match attempted {
                Attempted::Counted(record) => {
                    trace("a try is counted", &(claim, &record));
                    return Ok(ClaimOutcome::Granted(record));
                }
                Attempted::Met(None) => return Ok(ClaimOutcome::Refused(ClaimRefusal::NoSuchChallenge, None)),
                Attempted::Met(Some(met)) => met,
            };
            match met.claim(claim, limits) {
                Err(refusal) => {
                    trace("a try is refused", &(claim, &refusal, &met));
                    return Ok(ClaimOutcome::Refused(refusal, Some(met)));
                }
                Ok(next) => attempted = self.write_claim(self.exact_claim(claim, &met, &next)).await?,
            }
        }
        Err(Unavailable::new("claim an attempt", "others were in the way each time"))
    }

    fn update_record(&self, claim: &Claim) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(self.table(Table::Otps))
            .set_key(Some(record_key(&claim.purpose, &claim.phone)))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ALL_OLD)
    }

    /// The claim where no wrong codes have piled up and the code has not been used.
    fn plain_claim(&self, claim: &Claim, limits: &Limits) -> UpdateItemFluentBuilder {
        let attempts = if claim.challenge_id.is_some() { "told.#told" } else { "unbound_attempts" };
        let told = claim.challenge_id.as_ref().map(|id| HashMap::from([("#told".to_owned(), id.as_str().to_owned())]));
        // Of an id that no send told there is no count, which is less than nothing: the condition fails.
        self.update_record(claim)
            .set_expression_attribute_names(told)
            .condition_expression(format!(
                "phone = :phone AND attribute_not_exists(consumed_at) AND code_expires_at > :now \
                 AND closed_until <= :now AND failures <= :undelayed AND {attempts} < :allowed"
            ))
            .update_expression(format!(
                "SET failures = failures + :one, closed_until = :zero, {attempts} = {attempts} + :one"
            ))
            .expression_attribute_values(":phone", text(claim.phone.e164()))
            .expression_attribute_values(":now", moment(claim.now))
            .expression_attribute_values(":undelayed", number(limits.undelayed_failures()))
            .expression_attribute_values(":allowed", number(limits.code_attempts))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":zero", number(0))
    }

    /// The claim that takes the record from `met` to `next`, if it still is as it was met.
    fn exact_claim(&self, claim: &Claim, met: &ChallengeRecord, next: &ChallengeRecord) -> UpdateItemFluentBuilder {
        let consumed = if met.challenge.consumed.is_some() { "attribute_exists" } else { "attribute_not_exists" };
        self.update_record(claim)
            .condition_expression(format!(
                "challenge_id = :id AND told = :met_told AND unbound_attempts = :met_unbound \
                 AND failures = :met_failures AND closed_until = :met_closed AND {consumed}(consumed_at)"
            ))
            .update_expression("SET told = :told, unbound_attempts = :unbound, failures = :failures, closed_until = :closed, expires_at = :keep")
            .expression_attribute_values(":id", text(met.challenge.id.as_str()))
            .expression_attribute_values(":met_told", told(&met.challenge.told))
            .expression_attribute_values(":met_unbound", number(met.challenge.unbound_attempts))
            .expression_attribute_values(":met_failures", number(met.failures))
            .expression_attribute_values(":met_closed", moment(met.closed_until))
            .expression_attribute_values(":told", told(&next.challenge.told))
            .expression_attribute_values(":unbound", number(next.challenge.unbound_attempts))
            .expression_attribute_values(":failures", number(next.failures))
            .expression_attribute_values(":closed", moment(next.closed_until))
            .expression_attribute_values(":keep", moment(next.keep_until(claim.now)))
    }

    async fn write_claim(&self, update: UpdateItemFluentBuilder) -> Result<Attempted, Unavailable> {
        match update.send().await {
            Ok(answer) => {
                let item =
                    answer.attributes.ok_or_else(|| Unavailable::new("claim an attempt", "no record came back"))?;
                Ok(Attempted::Counted(record(&item)?))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => match failed.item() {
                    // A record without a challenge has had its challenge removed with its user.
                    Some(item) if item.contains_key("challenge_id") => Ok(Attempted::Met(Some(record(item)?))),
                    _ => Ok(Attempted::Met(None)),
                },
                _ => Err(Unavailable::new("claim an attempt", error)),
            },
        }
    }
}
