//! `latchkey user`: people, their devices, roles and accounts.

use adapters::dynamodb::{AllTables, Person, RoleChange, SignOut, Store};
use clap::{Args, Subcommand};
use domain::rules::session::Session;
use domain::rules::user::{DEFAULT_ROLE, User};
use domain::values::custom_claims::CustomClaims;
use domain::values::ids::UserId;
use domain::values::text::{OrganizationId, Role, Username};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::organizations::check_exists;
use crate::output::{Report, count, duration, fields, table, time};

const NO_SUCH_USER: &str = "there is no such user";

#[derive(Subcommand)]
pub enum Command {
    /// Show a user and their sessions
    Show(Who),
    /// End all sessions of a user and make their devices unknown, for example after a theft
    SignOut(Who),
    /// Keep a user from signing in, and end their sessions
    Block(Who),
    /// Let a blocked user sign in again
    Unblock(Who),
    /// Write the claims of a user's access tokens: a JSON object of at most 2 KB, or {} for none
    SetClaims {
        #[command(flatten)]
        who: Who,
        /// The object, such as '{"plan":"gold"}'
        claims: String,
    },
    /// Delete a user, as they can do themselves
    Delete {
        #[command(flatten)]
        who: Who,
        /// Keep nothing for an undo, and free the number at once
        #[arg(long)]
        at_once: bool,
    },
    /// Make a user a member of an organization
    Join {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        of: Of,
    },
    /// Take all roles in an organization from a user
    Leave {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        of: Of,
    },
    /// Give a user a role in an organization
    AddRole {
        #[command(flatten)]
        who: Who,
        /// The role, such as admin
        role: String,
        #[command(flatten)]
        of: Of,
    },
    /// Take a role in an organization from a user
    RemoveRole {
        #[command(flatten)]
        who: Who,
        /// The role
        role: String,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Args)]
pub struct Who {
    /// A user id (usr_…), a phone number or a username
    user: String,
}

#[derive(Args)]
pub struct Of {
    /// The organization; that of the deployment if absent
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    let store = context.store::<AllTables>()?;
    match command {
        Command::Show(who) => show(context, &store, &who).await,
        Command::SignOut(who) => sign_out(context, &store, &who).await,
        Command::Block(who) => block(context, &store, &who).await,
        Command::Unblock(who) => unblock(context, &store, &who).await,
        Command::SetClaims { who, claims } => set_claims(context, &store, &who, &claims).await,
        Command::Delete { who, at_once } => {
            delete(context, &store, &who, if at_once { Undo::Impossible } else { Undo::AsUsual }).await
        }
        Command::Join { who, of } => {
            let roles = |_: &User, _: &OrganizationId| vec![DEFAULT_ROLE.to_owned()];
            change_roles(context, &store, &who, &of, RoleChange::Add, roles).await
        }
        Command::Leave { who, of } => {
            let in_organization = |user: &User, organization: &OrganizationId| {
                let roles = user.roles.iter().filter(|(_, organizations)| organizations.contains(organization));
                roles.map(|(role, _)| role.clone()).collect()
            };
            change_roles(context, &store, &who, &of, RoleChange::Remove, in_organization).await
        }
        Command::AddRole { who, role, of } => {
            let role = parse_role(&role)?;
            change_roles(context, &store, &who, &of, RoleChange::Add, |_, _| vec![role.clone()]).await
        }
        Command::RemoveRole { who, role, of } => {
            let role = parse_role(&role)?;
            change_roles(context, &store, &who, &of, RoleChange::Remove, |_, _| vec![role.clone()]).await
        }
    }
}

/// The user whom an operator means: by id, by number, or by username.
pub async fn find(context: &Context, store: &Store<AllTables>, who: &str) -> Result<UserId, Failure> {
    if let Ok(id) = who.parse::<UserId>() {
        return Ok(id);
    }
    if let Ok(phone) = context.phone(who)
        && let Some(holder) = store.number_holder(&phone.number).await?
    {
        let is_former = holder.release.is_some();
        return if is_former {
            Err(format!("nobody has this number. It is kept for its former holder, {}", holder.user).into())
        } else {
            Ok(holder.user)
        };
    }
    if let Ok(username) = Username::parse(who)
        && let Some(id) = store.username_holder(&username).await?
    {
        return Ok(id);
    }
    Err("no user has this id, number or username".into())
}

async fn person(context: &Context, store: &Store<AllTables>, who: &Who) -> Result<Person, Failure> {
    let id = find(context, store, &who.user).await?;
    store.person(&id).await?.ok_or_else(|| NO_SUCH_USER.into())
}

async fn show(context: &Context, store: &Store<AllTables>, who: &Who) -> Result<Report, Failure> {
    let person = person(context, store, who).await?;
    let Person { user, sessions, kept_usernames } = &person;
    let (limits, now) = (&context.app.config.limits, context.now);
    let number = match &user.phone {
        Some(phone) => context.show(phone),
        None if user.has_lost_phone => "none: lost to another person, or released".to_owned(),
        None => "none".to_owned(),
    };
    let proof = match (&user.phone, user.phone_proven_at) {
        (None, _) => "-".to_owned(),
        (Some(_), proven_at) => {
            let proven_at = proven_at.unwrap_or(user.created_at);
            let is_dormant = now >= proven_at.plus(limits.phone_dormant_seconds);
            format!("{}{}", time(proven_at), if is_dormant { ": dormant" } else { "" })
        }
    };
    let optional = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let mut lines = vec![
        ("user", user.id.to_string()),
        ("number", number),
        ("last proof", proof),
        ("username", optional(user.username.as_ref().map(Username::as_str))),
        ("name", optional(user.name.as_ref().map(|name| name.as_str()))),
        ("roles", roles(user)),
        ("created", time(user.created_at)),
        ("last sign-in", format!("{} ({})", time(user.last_sign_in_at), count(sign_ins(user), "sign-in", "sign-ins"))),
        ("known devices", user.device_keys.0.len().to_string()),
    ];
    if !kept_usernames.0.is_empty() {
        lines.push(("kept usernames", kept_usernames.0.keys().cloned().collect::<Vec<_>>().join(", ")));
    }
    for former in &user.former_phones {
        lines.push((
            "former number",
            format!("{}, may be taken back until {}", context.show(&former.phone), time(former.until)),
        ));
    }
    if let Some(change) = user.pending_change(now) {
        lines.push(("waiting change", format!("to {}, due {}", context.show(&change.to), time(change.due_at))));
    }
    if let Some(recovery) = user.pending_recovery(limits, now) {
        lines.push(("recovery", format!("asked for; opens {}", time(recovery.opens_at))));
    }
    if let Some(at) = user.blocked_at {
        lines.insert(1, ("blocked", format!("since {}", time(at))));
    }
    if let Some(claims) = &user.claims {
        lines.push(("claims", claims.as_str().to_owned()));
    }
    let mut sorted: Vec<&Session> = sessions.iter().collect();
    sorted.sort_by_key(|session| std::cmp::Reverse(session.last_used_at));
    let rows: Vec<_> = sorted.iter().map(|session| row(session, context)).collect();
    let mut text = fields(&lines);
    if rows.is_empty() {
        text.push_str("\nNo sessions.\n");
    } else {
        text.push('\n');
        text.push_str(&table(["session", "device", "organization", "last used", "key", "state"], &rows));
    }
    let json = json!({
        "user": {
            "user_id": user.id.as_str(),
            "phone_number": user.phone.as_ref().map(|phone| context.show(phone)),
            "phone_proven_at": user.phone_proven_at.map(|at| at.seconds()),
            "username": user.username.as_ref().map(Username::as_str),
            "name": user.name.as_ref().map(|name| name.as_str()),
            "roles": user.roles.iter().map(|(role, organizations)| {
                let ids: Vec<_> = organizations.iter().map(OrganizationId::as_str).collect();
                (role.clone(), json!(ids))
            }).collect::<serde_json::Map<_, _>>(),
            "created_at": user.created_at.seconds(),
            "last_sign_in_at": user.last_sign_in_at.seconds(),
            "sign_ins": user.sign_ins,
            "known_devices": user.device_keys.0.len(),
            "blocked_at": user.blocked_at.map(|at| at.seconds()),
            "claims": user.claims.as_ref().map(CustomClaims::object),
        },
        "sessions": sorted.iter().map(|session| session_json(session, context)).collect::<Vec<Value>>(),
    });
    Ok(Report::new(text, json))
}

fn sign_ins(user: &User) -> usize {
    usize::try_from(user.sign_ins).unwrap_or(usize::MAX)
}

fn roles(user: &User) -> String {
    let one = |(role, organizations): (&String, &std::collections::BTreeSet<OrganizationId>)| {
        let ids: Vec<&str> = organizations.iter().map(OrganizationId::as_str).collect();
        format!("{role} in {}", ids.join(", "))
    };
    let roles: Vec<String> = user.roles.iter().map(one).collect();
    if roles.is_empty() { "none".to_owned() } else { roles.join("; ") }
}

fn row(session: &Session, context: &Context) -> [String; 6] {
    [
        session.id.to_string(),
        session.device_name.as_ref().map_or_else(|| "-".to_owned(), |name| name.as_str().to_owned()),
        session.organization.as_str().to_owned(),
        time(session.last_used_at),
        if session.device_key.is_some() { "bound" } else { "-" }.to_owned(),
        if session.is_live(context.now) {
            format!("until {}", time(session.expires_at()))
        } else {
            "ended by age".to_owned()
        },
    ]
}

fn session_json(session: &Session, context: &Context) -> Value {
    json!({
        "session_id": session.id.as_str(), "organization_id": session.organization.as_str(),
        "device_name": session.device_name.as_ref().map(|name| name.as_str()),
        "created_at": session.created_at.seconds(), "last_used_at": session.last_used_at.seconds(),
        "expires_at": session.expires_at().seconds(), "has_device_key": session.device_key.is_some(),
        "is_live": session.is_live(context.now),
    })
}

/// What ends with the sessions of a user.
fn ended(Person { user, sessions, .. }: &Person) -> String {
    format!(
        "end {} of {} and forget {}",
        count(sessions.len(), "session", "sessions"),
        user.id,
        count(user.device_keys.0.len(), "device", "devices")
    )
}

async fn sign_out(context: &Context, store: &Store<AllTables>, who: &Who) -> Result<Report, Failure> {
    let person = person(context, store, who).await?;
    let (id, what) = (&person.user.id, ended(&person));
    if context.manner.dry_run {
        return Ok(context.would(&what));
    }
    context.confirm(&format!("This will {what}."))?;
    let change = context.change("user.sign_out", id.as_str(), None).await?;
    let notices = context.app.notices(&context.app.config.default_organization.id, context.now)?;
    if !store.sign_out_everywhere(id, SignOut::Alone, notices.as_ref(), &change).await? {
        return Err(NO_SUCH_USER.into());
    }
    let text = format!("{id} is signed out everywhere, from the next request on. No device is known.\n");
    let devices = person.user.device_keys.0.len();
    let json = json!({"user_id": id.as_str(), "sessions_ended": person.sessions.len(), "devices_forgotten": devices});
    Ok(Report::new(text, json))
}

async fn block(context: &Context, store: &Store<AllTables>, who: &Who) -> Result<Report, Failure> {
    let person = person(context, store, who).await?;
    let id = &person.user.id;
    // With sessions left, an earlier block was interrupted.
    if let Some(at) = person.user.blocked_at
        && person.sessions.is_empty()
    {
        return Err(format!("{id} is blocked since {}", time(at)).into());
    }
    let what = format!("block {id}, {}", ended(&person));
    if context.manner.dry_run {
        return Ok(context.would(&what));
    }
    context.confirm(&format!("This will {what}."))?;
    let change = context.change("user.block", id.as_str(), None).await?;
    // A blocked person is not told by which request.
    if !store.sign_out_everywhere(id, SignOut::WithBlock, None, &change).await? {
        return Err(NO_SUCH_USER.into());
    }
    let text = format!("{id} is blocked and signed out everywhere. `latchkey user unblock` takes that back.\n");
    Ok(Report::new(text, json!({"user_id": id.as_str(), "blocked_at": context.now.seconds()})))
}

async fn unblock(context: &Context, store: &Store<AllTables>, who: &Who) -> Result<Report, Failure> {
    let Person { user, .. } = person(context, store, who).await?;
    if !user.is_blocked() {
        return Err(format!("{} is not blocked", user.id).into());
    }
    if context.manner.dry_run {
        return Ok(context.would(&format!("unblock {}", user.id)));
    }
    let change = context.change("user.unblock", user.id.as_str(), None).await?;
    if !store.unblock_user(&user.id, &change).await? {
        return Err(NO_SUCH_USER.into());
    }
    Ok(Report::new(format!("{} can sign in again.\n", user.id), json!({"user_id": user.id.as_str()})))
}

async fn set_claims(context: &Context, store: &Store<AllTables>, who: &Who, text: &str) -> Result<Report, Failure> {
    let Person { user, .. } = person(context, store, who).await?;
    let claims = CustomClaims::parse(text).map_err(|wrong| format!("the claims: {wrong}"))?;
    let claims = Some(claims).filter(|claims| !claims.object().is_empty());
    if context.manner.dry_run {
        return Ok(context.would(&format!("set the claims of {}", user.id)));
    }
    let names = claims.as_ref().map(|claims| claims.object().keys().cloned().collect::<Vec<_>>().join(", "));
    let change = context.change("user.set_claims", user.id.as_str(), names.or(Some("none".to_owned()))).await?;
    if !store.set_claims(&user.id, claims.as_ref(), &change).await? {
        return Err(NO_SUCH_USER.into());
    }
    let text = format!("Access tokens of {} bear these claims from the next sign-in or refresh on.\n", user.id);
    let json = json!({"user_id": user.id.as_str(), "claims": claims.map(|claims| claims.object()).unwrap_or_default()});
    Ok(Report::new(text, json))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Undo {
    AsUsual,
    Impossible,
}

async fn delete(context: &Context, store: &Store<AllTables>, who: &Who, undo: Undo) -> Result<Report, Failure> {
    let Person { user, sessions, .. } = person(context, store, who).await?;
    let limits = &context.app.config.limits;
    let undo_until = (undo == Undo::AsUsual && user.phone.is_some()).then(|| context.now.plus(limits.undo_seconds));
    let end = match undo_until {
        Some(until) => format!("Whoever proves the number can take that back until {}.", time(until)),
        None => "Nobody can take that back.".to_owned(),
    };
    let what = format!("delete {} with {}. {end}", user.id, count(sessions.len(), "session", "sessions"));
    if context.manner.dry_run {
        return Ok(context.would(&what));
    }
    context.confirm(&format!("This will {what}"))?;
    let detail = match undo {
        Undo::AsUsual => format!("undo {}", duration(limits.undo_seconds)),
        Undo::Impossible => "at once".to_owned(),
    };
    let change = context.change("user.delete", user.id.as_str(), Some(detail)).await?;
    let notices = context.app.notices(&context.app.config.default_organization.id, context.now)?;
    if !store.delete_user(&user.id, undo_until, notices.as_ref(), &change).await? {
        return Err(NO_SUCH_USER.into());
    }
    let json = json!({"user_id": user.id.as_str(), "undo_until": undo_until.map(|until| until.seconds())});
    Ok(Report::new(format!("{} is deleted. {end}\n", user.id), json))
}

fn parse_role(text: &str) -> Result<String, Failure> {
    let role = Role::parse(text).map_err(|wrong| format!("the role: {wrong}"))?;
    Ok(role.as_str().to_owned())
}

async fn change_roles(
    context: &Context,
    store: &Store<AllTables>,
    who: &Who,
    of: &Of,
    which: RoleChange,
    roles: impl Fn(&User, &OrganizationId) -> Vec<String>,
) -> Result<Report, Failure> {
    let Person { user, .. } = person(context, store, who).await?;
    let organization = context.organization(of.organization.as_deref())?;
    if matches!(which, RoleChange::Add) {
        check_exists(context, &organization).await?;
    }
    let mut roles = roles(&user, &organization);
    let has = |role: &String| user.roles.get(role).is_some_and(|held| held.contains(&organization));
    let asked = roles.join(", ");
    roles.retain(|role| has(role) == matches!(which, RoleChange::Remove));
    if roles.is_empty() {
        let (id, organization) = (&user.id, organization.as_str());
        return Err(match which {
            RoleChange::Add => format!("{id} has the role {asked} in {organization} already"),
            RoleChange::Remove if asked.is_empty() => format!("{id} has no role in {organization}"),
            RoleChange::Remove => format!("{id} has no role {asked} in {organization}"),
        }
        .into());
    }
    let (listed, id) = (roles.join(", "), organization.as_str());
    let (action, what, done) = match which {
        RoleChange::Add => ("user.add_role", format!("give {} the role {listed} in {id}", user.id), "has"),
        RoleChange::Remove => {
            ("user.remove_role", format!("take the role {listed} in {id} from {}", user.id), "no longer has")
        }
    };
    if context.manner.dry_run {
        return Ok(context.would(&what));
    }
    let change = context.change(action, user.id.as_str(), Some(format!("{listed} in {id}"))).await?;
    if !store.change_roles(&user.id, &roles, &organization, which, &change).await? {
        return Err(NO_SUCH_USER.into());
    }
    let since = "Tokens say so from the next sign-in or refresh on.";
    let text = format!("{} {done} the role {listed} in {id}. {since}\n", user.id);
    Ok(Report::new(text, json!({"user_id": user.id.as_str(), "organization_id": id, "roles": roles})))
}
