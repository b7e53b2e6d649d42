//! Gives a world what no request of a client can: organizations, test numbers, changed users and faults.

use serde_json::{Value, json};

use crate::{Person, World};

impl World {
    pub async fn create_organization(&self, id: &str, settings: &[(&str, &str)]) {
        let mut item = json!({"pk": {"S": format!("organization#{id}")}, "app_name": {"S": "Acme"}});
        for (name, value) in settings {
            item[name] = json!({"S": value});
        }
        self.dynamodb("PutItem", json!({"TableName": "SettingsTable", "Item": item})).await;
    }

    /// Creates an organization that has a number with a fixed code.
    pub async fn create_test_number(&self, organization: &str, phone: &str, code: &str, until: &str) {
        self.keep_secret(phone);
        self.keep_secret(code);
        let number = json!({"phone_number": {"S": phone}, "code": {"S": code}, "until": {"S": until}});
        let item = json!({
            "pk": {"S": format!("organization#{organization}")},
            "app_name": {"S": "Acme"},
            "test_numbers": {"L": [{"M": number}]},
        });
        self.dynamodb("PutItem", json!({"TableName": "SettingsTable", "Item": item})).await;
    }

    /// Updates an item of the users' table.
    pub async fn update_user(&self, pk: &str, mut update: Value) {
        update["TableName"] = json!("UsersTable");
        update["Key"] = json!({"pk": {"S": pk}});
        self.dynamodb("UpdateItem", update).await;
    }

    pub async fn delete_user_item(&self, pk: &str) {
        self.dynamodb("DeleteItem", json!({"TableName": "UsersTable", "Key": {"pk": {"S": pk}}})).await;
    }

    /// Removes the phone and its lock, as for a user who was imported without a verified phone.
    pub async fn remove_phone(&self, person: &Person) {
        self.update_user(&format!("user#{}", person.user_id), json!({"UpdateExpression": "REMOVE phone"})).await;
        self.delete_user_item(&format!("phone#{}", person.phone)).await;
    }

    /// A stranger has so many codes sent to a number, and waits where there is a wait. Returns how long that took, in seconds.
    pub async fn use_up_sends(&self, phone: &str, count: usize) -> u64 {
        let began = self.now();
        for _ in 0..count {
            let send = || self.post("/v1/otp/send", json!({"phone_number": phone})).send();
            let mut reply = send().await;
            if reply.status == 429 {
                self.advance(reply.number("retry_after"));
                reply = send().await;
            }
            reply.ok();
        }
        (self.now() - began).unsigned_abs()
    }

    /// Makes the next `times` requests to `target` fail.
    pub async fn fault(&self, target: &str, mode: &str, times: u32) {
        self.add_fault(json!({"target": target, "mode": mode, "times": times})).await;
    }

    pub async fn add_fault(&self, fault: Value) {
        let reply = self.post("/local/faults", fault.clone()).send().await;
        assert_eq!((reply.status, reply.body), (204, Value::Null), "{fault}");
    }

    pub async fn clear_faults(&self) {
        assert_eq!(self.call("DELETE", "/local/faults").send().await.status, 204);
    }
}
