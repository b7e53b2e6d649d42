//! The tables of a store, as types: a verb that needs a table does not compile for a store without it.

use crate::config::{ConfigError, Resources};

pub trait TableSet: Sized + Send + Sync + 'static {
    /// # Errors
    /// When the name of one of the tables is not configured.
    fn from_config(resources: &Resources) -> Result<Self, ConfigError>;
}

pub trait HasUsers: TableSet {
    fn users(&self) -> &str;
}

pub trait HasOtps: TableSet {
    fn otps(&self) -> &str;
}

pub trait HasSessions: TableSet {
    fn sessions(&self) -> &str;
}

pub trait HasSettings: TableSet {
    fn settings(&self) -> &str;
}

pub trait HasNotices: TableSet {
    fn notices(&self) -> &str;
}

macro_rules! table_set {
    ($set:ident: $($trait:ident $table:ident $name:ident),+) => {
        pub struct $set {
            $($table: String),+
        }

        impl TableSet for $set {
            fn from_config(resources: &Resources) -> Result<Self, ConfigError> {
                Ok(Self { $($table: resources.$name()?.to_owned()),+ })
            }
        }

        $(impl $trait for $set {
            fn $table(&self) -> &str {
                &self.$table
            }
        })+
    };
}

table_set!(AllTables:
    HasUsers users users_table, HasOtps otps otps_table,
    HasSessions sessions sessions_table, HasSettings settings settings_table, HasNotices notices notices_table
);
table_set!(DeviceTables:
    HasUsers users users_table, HasSessions sessions sessions_table, HasSettings settings settings_table,
    HasNotices notices notices_table
);
table_set!(DueTables:
    HasUsers users users_table, HasOtps otps otps_table, HasNotices notices notices_table
);
table_set!(NoticeTables:
    HasSessions sessions sessions_table, HasSettings settings settings_table, HasNotices notices notices_table
);
table_set!(SessionTables:
    HasUsers users users_table, HasSessions sessions sessions_table, HasSettings settings settings_table
);
table_set!(OtpsTable: HasOtps otps otps_table);
table_set!(SettingsTable: HasSettings settings settings_table);
