//! What the pairs of a line say together: who is concerned, what decided, what happened, how it went.

use super::words::{self, Happening};
use super::{Facts, Side, Told, lower, text};
use crate::decode::out::Out;
use crate::event::{FieldId, names};

const ADDRESSES: [FieldId; 4] =
    [names::SOURCE_IP, names::DESTINATION_IP, names::SOURCE_NAT_IP, names::DESTINATION_NAT_IP];
const PORTS: [FieldId; 4] = [
    names::SOURCE_PORT,
    names::DESTINATION_PORT,
    names::SOURCE_NAT_PORT,
    names::DESTINATION_NAT_PORT,
];

impl Facts<'_> {
    /// Writes what the pairs say together.
    pub(crate) fn conclude(mut self, out: &mut Out) {
        if self.left_out {
            out.problem("a field is left out: its name is strange, or there is no room for it");
        }
        self.ends(out);
        match self.user {
            Told::Nothing => {
                if let Some(account) = self.account {
                    out.text(names::USER_NAME, account);
                }
            }
            Told::Once(user) => {
                out.text(names::USER_NAME, user);
                // Behind a bastion host somebody has another name.
                if let Some(account) = self.account.filter(|account| *account != user) {
                    out.text(names::DESTINATION_USER_NAME, account);
                }
            }
            Told::Differently => out.problem("the line names two users"),
        }
        let [action, result] = self.unclear;
        if action {
            out.problem("the line says two things of what was done");
            self.action = None;
        }
        if result {
            out.problem("the line says two things of how it went");
            self.result = None;
        }
        self.rules(out);
        let happening = self.happened.unwrap_or_else(|| self.happening());
        self.say(happening, out);
    }

    fn ends(&mut self, out: &mut Out) {
        let [source, .., peer] = &mut self.addresses;
        if *source == Told::Nothing {
            *source = *peer;
            self.ports[Side::Source as usize] =
                self.ports[Side::Source as usize].or(self.ports[Side::Peer as usize]);
        }
        for (told, id) in self.addresses.iter().zip(ADDRESSES) {
            match told {
                Told::Nothing => {}
                Told::Once(address) => out.address(id, *address),
                Told::Differently => {
                    out.problem(&format!("the line gives two values for {}", id.name()))
                }
            }
        }
        for (port, id) in self.ports.iter().zip(PORTS) {
            if let Some(port) = port {
                out.integer(id, (*port).into());
            }
        }
    }

    /// The attack where there is one, else the policy that decided.
    fn rules(&mut self, out: &mut Out) {
        if let Some(category) = &self.attack_category {
            text(names::RULE_CATEGORY, category, out);
        }
        let policy = if self.attack.is_some() { names::RULE_RULESET } else { names::RULE_NAME };
        if let Some(attack) = &self.attack {
            text(names::RULE_NAME, attack, out);
        }
        if let Some(name) = &self.policy {
            // A policy that is a number is one without a name.
            let number =
                self.policy_id.is_none() && name.value.bytes().all(|byte| byte.is_ascii_digit());
            text(if number { names::RULE_ID } else { policy }, name, out);
        }
        if let Some(id) = &self.policy_id {
            text(names::RULE_ID, id, out);
        }
    }

    fn happening(&self) -> Happening {
        let said = |text: Option<&str>| text.and_then(words::happening);
        let kind = said(self.kind);
        if kind == Some(Happening::Virus) {
            return Happening::Virus;
        }
        if self.attack.is_some() || self.attack_category.is_some() {
            return Happening::Attack;
        }
        if self.has_file
            && kind.is_none_or(|kind| matches!(kind, Happening::Configuration | Happening::Session))
        {
            return Happening::File;
        }
        if self.has_statement {
            return Happening::Database;
        }
        let operation = said(self.operation).or_else(|| said(self.action));
        match (kind, operation) {
            (Some(Happening::Login | Happening::Configuration), Some(Happening::Logout)) => {
                Happening::Logout
            }
            (Some(Happening::Configuration | Happening::Session) | None, Some(operation)) => {
                operation
            }
            (Some(kind), _) => kind,
            (None, None) if self.has_command || self.works() => Happening::Configuration,
            (None, None) if self.has_file => Happening::File,
            (None, None) if self.has_database => Happening::Database,
            (None, None) if self.login_in_prose().is_some() => {
                self.login_in_prose().unwrap_or(Happening::Login)
            }
            (None, None) if self.has_url => Happening::Web,
            (None, None) => Happening::Session,
        }
    }

    /// Whether somebody did something to the appliance itself.
    fn works(&self) -> bool {
        let [_, destination, ..] = self.addresses;
        let named = self.user != Told::Nothing || self.account.is_some();
        named && self.operation.is_some() && destination == Told::Nothing
    }

    /// The login that prose tells of, with a user and how it went: `User login failed`.
    fn login_in_prose(&self) -> Option<Happening> {
        let mut said = [self.text, self.result].into_iter().flatten();
        let text = said.find(|text| {
            words::success(text).is_some()
                && matches!(words::happening(text), Some(Happening::Login | Happening::Logout))
        })?;
        let told = words::happening(text)?;
        let login = matches!(told, Happening::Login | Happening::Logout);
        (login && self.user != Told::Nothing).then_some(told)
    }

    /// Whether an end of a connection is known.
    fn connects(&self) -> bool {
        self.addresses.iter().any(|told| *told != Told::Nothing)
            || self.ports.iter().any(Option::is_some)
    }

    fn say(&self, happening: Happening, out: &mut Out) {
        // What is more than traffic is a security event.
        out.security |= matches!(
            happening,
            Happening::Login
                | Happening::Logout
                | Happening::Configuration
                | Happening::Attack
                | Happening::Virus
        );
        let verdict = self.action.and_then(words::verdict);
        let mut success = self.result.and_then(words::success);
        let action = match happening {
            Happening::Login | Happening::Logout => {
                out.word(names::EVENT_CATEGORY, "authentication");
                let said = [self.text, self.operation, self.action].into_iter().flatten();
                success = success.or_else(|| said.into_iter().find_map(words::success));
                Some(if happening == Happening::Login { "login" } else { "logout" })
            }
            Happening::Configuration => {
                out.word(names::EVENT_CATEGORY, "configuration");
                success = success.or_else(|| self.text.and_then(words::success));
                let plain = self.operation.and_then(words::happening).is_none() && self.works();
                let operation = self
                    .operation
                    .filter(|_| plain && self.kind.and_then(words::happening).is_none());
                match operation {
                    Some(operation) => {
                        lower(names::EVENT_ACTION, operation, out);
                        None
                    }
                    None => Some("config"),
                }
            }
            Happening::Virus => {
                out.word(names::EVENT_CATEGORY, "malware");
                None
            }
            Happening::Attack => {
                out.word(names::EVENT_CATEGORY, "intrusion_detection");
                None
            }
            Happening::Session if !self.connects() => None,
            Happening::File | Happening::Database | Happening::Web | Happening::Session => {
                out.word(
                    names::EVENT_CATEGORY,
                    match happening {
                        Happening::File => "file",
                        Happening::Database => "database",
                        Happening::Web => "web",
                        _ => "network",
                    },
                );
                None
            }
        };
        let done = out.has(names::EVENT_ACTION);
        match (action, verdict, self.action.or(self.operation)) {
            _ if done => {}
            (Some(action), ..) => out.word(names::EVENT_ACTION, action),
            (None, verdict, _)
                if self.exchange
                    && verdict.is_none_or(|verdict| verdict.kind != Some("denied")) =>
            {
                let database = happening == Happening::Database || self.has_database;
                out.word(
                    names::EVENT_ACTION,
                    if database { "database_sync" } else { "file_exchange" },
                );
            }
            (None, Some(verdict), _) => {
                out.word(names::EVENT_ACTION, verdict.action);
                if let Some(kind) = verdict.kind {
                    out.word(names::EVENT_TYPE, kind);
                }
            }
            (None, None, Some(word)) => lower(names::EVENT_ACTION, word, out),
            (None, None, None) => {}
        }
        // A login or a change may have been refused.
        if action.is_some()
            && let Some(kind) = verdict.and_then(|verdict| verdict.kind)
        {
            out.word(names::EVENT_TYPE, kind);
        }
        if let Some(success) = success {
            out.outcome(success);
        }
    }
}
