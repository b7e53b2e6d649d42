//! The limits. Each variable is named after its field in [`Limits`].

use domain::rules::limits::{BudgetMode, Limits};
use domain::rules::user::USERNAME_KEPT_SECONDS;
use domain::values::time::{DAY, HOUR};

use super::variables::{ConfigError, Variables};

pub(super) fn read(variables: &Variables) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    let positive = |variable, default| variables.positive(variable, default);
    Ok(Limits {
        code_lifetime_seconds: positive("CODE_LIFETIME_SECONDS", default.code_lifetime_seconds)?,
        code_attempts: positive("CODE_ATTEMPTS", default.code_attempts)?,
        require_challenge_id: variables.flag("REQUIRE_CHALLENGE_ID")?,
        send_waits_seconds: variables
            .list("SEND_WAITS_SECONDS", "whole numbers of seconds separated by commas", str::parse)?
            .unwrap_or(default.send_waits_seconds),
        phone_sends_per_hour: positive("PHONE_SENDS_PER_HOUR", default.phone_sends_per_hour)?,
        phone_sends_per_day: positive("PHONE_SENDS_PER_DAY", default.phone_sends_per_day)?,
        known_device_sends_per_hour: positive("KNOWN_DEVICE_SENDS_PER_HOUR", default.known_device_sends_per_hour)?,
        source_sends_per_hour: positive("SOURCE_SENDS_PER_HOUR", default.source_sends_per_hour)?,
        source_sends_per_day: positive("SOURCE_SENDS_PER_DAY", default.source_sends_per_day)?,
        source_guesses_per_hour: positive("SOURCE_GUESSES_PER_HOUR", default.source_guesses_per_hour)?,
        source_guesses_per_day: positive("SOURCE_GUESSES_PER_DAY", default.source_guesses_per_day)?,
        country_sends_per_day: positive("COUNTRY_SENDS_PER_DAY", default.country_sends_per_day)?,
        phone_dormant_seconds: positive("PHONE_DORMANT_DAYS", default.phone_dormant_seconds / DAY)?.saturating_mul(DAY),
        undo_seconds: undo_hours(variables, default.undo_seconds / HOUR)?.saturating_mul(HOUR),
        delayed_change_seconds: positive("PHONE_CHANGE_DELAY_HOURS", default.delayed_change_seconds / HOUR)?
            .saturating_mul(HOUR),
        recovery_seconds: positive("RECOVERY_DELAY_DAYS", default.recovery_seconds / DAY)?.saturating_mul(DAY),
        refusal_seconds: positive("REFUSAL_DAYS", default.refusal_seconds / DAY)?.saturating_mul(DAY),
        budget_mode: variables.parsed("PUMPING_BUDGETS", str::parse::<BudgetMode>)?.unwrap_or(default.budget_mode),
        access_token_seconds: positive("ACCESS_TOKEN_SECONDS", default.access_token_seconds)?,
        refresh_idle_seconds: positive("REFRESH_IDLE_SECONDS", default.refresh_idle_seconds)?,
        refresh_total_seconds: positive("REFRESH_TOTAL_SECONDS", default.refresh_total_seconds)?,
        refresh_grace_seconds: positive("REFRESH_GRACE_SECONDS", default.refresh_grace_seconds)?,
    })
}

/// A username is kept for as long as its user can return.
fn undo_hours(variables: &Variables, default: u32) -> Result<u32, ConfigError> {
    let (hours, max) = (variables.positive("UNDO_HOURS", default)?, USERNAME_KEPT_SECONDS / HOUR);
    if hours > max {
        return Err(ConfigError::new("UNDO_HOURS", format!("expected at most {max}, for which a username is kept")));
    }
    Ok(hours)
}
