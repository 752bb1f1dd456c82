//! The language of a page, and what every page has: Chinese first, with the English beside it, or
//! English alone. By cookie, else by what the browser asks for, else Chinese.

use axum::http::{HeaderMap, header};

use super::guard::{self, Caller};

/// The cookie that keeps the choice.
pub(super) const COOKIE: &str = "hengwei-language";

/// A language pages come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lang {
    /// Chinese, English beside it.
    Zh,
    /// English.
    En,
}

impl Lang {
    /// The language of a request.
    pub(super) fn of(headers: &HeaderMap) -> Lang {
        match guard::cookie(headers, COOKIE).as_deref() {
            Some("en") => return Lang::En,
            Some("zh") => return Lang::Zh,
            _ => {}
        }
        // The first of the two that is named wins: browsers send them in order of preference.
        let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let mut tags = wanted.unwrap_or_default().split(',').map(|tag| tag.trim().to_lowercase());
        let known = tags.find(|tag| tag.starts_with("zh") || tag.starts_with("en"));
        match known {
            Some(tag) if tag.starts_with("en") => Lang::En,
            _ => Lang::Zh,
        }
    }

    /// One of the two texts.
    pub(super) fn say<'a>(self, zh: &'a str, en: &'a str) -> &'a str {
        match self {
            Lang::Zh if !zh.is_empty() => zh,
            _ => en,
        }
    }

    /// Both, as HTML: for the page's own words, never for text from outside.
    pub(super) fn both(self, zh: &'static str, en: &'static str) -> String {
        match self {
            Lang::Zh => format!("{zh} <span class=\"en\" lang=\"en\">{en}</span>"),
            Lang::En => en.to_owned(),
        }
    }
}

/// What every page has.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Its language.
    pub(super) lang: Lang,
    /// Title, Chinese and English.
    pub(super) title: (&'static str, &'static str),
    /// Its place in the navigation.
    pub(super) here: &'static str,
    /// Where it is, to come back to after a change of language.
    pub(super) path: String,
    /// Who reads it.
    pub(super) reader: Option<Reader>,
}

/// Who reads a page.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub(super) name: String,
    pub(super) role: (&'static str, &'static str),
    pub(super) csrf: String,
    pub(super) may_handle: bool,
    pub(super) may_search: bool,
}

impl Page {
    /// A page for somebody who is signed in.
    pub(super) fn new(
        headers: &HeaderMap,
        caller: &Caller,
        title: (&'static str, &'static str),
        here: &'static str,
    ) -> Page {
        use crate::accounts::{Right, Role};
        let role = match caller.user.role {
            Role::Sysadmin => ("系统管理员", "system administrator"),
            Role::Secadmin => ("安全管理员", "security administrator"),
            Role::Auditadmin => ("审计管理员", "audit administrator"),
            Role::Viewer => ("查看者", "viewer"),
        };
        let reader = Reader {
            name: caller.user.name.clone(),
            role,
            csrf: caller.csrf().to_owned(),
            may_handle: caller.may(Right::Handle),
            may_search: caller.may(Right::Search),
        };
        Page { reader: Some(reader), ..Page::bare(headers, title, here) }
    }

    /// A page for anybody.
    pub(super) fn bare(
        headers: &HeaderMap,
        title: (&'static str, &'static str),
        here: &'static str,
    ) -> Page {
        Page { lang: Lang::of(headers), title, here, path: here.to_owned(), reader: None }
    }

    /// `path` is where a change of language comes back to.
    pub(super) fn at(mut self, path: impl Into<String>) -> Page {
        self.path = path.into();
        self
    }

    /// [`Lang::say`].
    pub(super) fn say<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        self.lang.say(zh, en)
    }

    /// [`Lang::both`].
    pub(super) fn both(&self, zh: &'static str, en: &'static str) -> String {
        self.lang.both(zh, en)
    }

    /// The `lang` attribute.
    pub(super) fn code(&self) -> &'static str {
        self.say("zh-CN", "en")
    }

    /// The anti-forgery token of forms.
    pub(super) fn csrf(&self) -> &str {
        self.reader.as_ref().map_or("", |reader| &reader.csrf)
    }

    /// Whether the reader may handle alerts.
    pub(super) fn may_handle(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.may_handle)
    }

    /// The level, in the page's language.
    pub(super) fn level<'a>(&self, level: &'a str) -> &'a str {
        match level {
            "critical" => self.say("严重", "critical"),
            "high" => self.say("高", "high"),
            "medium" => self.say("中", "medium"),
            "low" => self.say("低", "low"),
            "informational" => self.say("提示", "informational"),
            other => other,
        }
    }

    /// An alert's state, in the page's language.
    pub(super) fn state(&self, state: &crate::alerts::State) -> &'static str {
        use crate::alerts::State;
        match state {
            State::New => self.lang.say("新", "new"),
            State::Acknowledged => self.lang.say("处理中", "acknowledged"),
            State::TruePositive => self.lang.say("已关闭：属实", "closed: true positive"),
            State::FalsePositive => self.lang.say("已关闭：误报", "closed: false positive"),
            State::AcceptedRisk => self.lang.say("已关闭：接受风险", "closed: accepted risk"),
        }
    }

    /// Whether a host reports, in the page's language.
    pub(super) fn presence(&self, presence: &super::Presence) -> &'static str {
        use super::Presence;
        match presence {
            Presence::Reporting => self.lang.say("在线", "reporting"),
            Presence::Silent => self.lang.say("失联", "silent"),
            Presence::Stopped => self.lang.say("已停止", "stopped"),
            Presence::Revoked => self.lang.say("已吊销", "revoked"),
            Presence::NeverSeen => self.lang.say("从未上报", "never seen"),
        }
    }

    /// A stored time, shorter: to the second, `UTC` said once in the footer.
    pub(super) fn time(&self, rfc3339: &str) -> String {
        match rfc3339.parse::<jiff::Timestamp>() {
            Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Err(_) => rfc3339.to_owned(),
        }
    }

    /// How far behind, in the unit that fits; a dash when not known.
    pub(super) fn lag(&self, seconds: &Option<f64>) -> String {
        match seconds {
            None => "—".to_owned(),
            Some(seconds) if *seconds < 1.0 => format!("{:.0} ms", seconds.max(0.0) * 1000.0),
            Some(seconds) if *seconds < 120.0 => format!("{seconds:.1} s"),
            Some(seconds) if *seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
            Some(seconds) => format!("{:.1} h", seconds / 3600.0),
        }
    }

    /// What runs.
    pub(super) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// [`Page::time`], or a dash.
    pub(super) fn maybe_time(&self, rfc3339: &Option<String>) -> String {
        rfc3339.as_deref().map_or("—".to_owned(), |time| self.time(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_cookie_then_browser_then_chinese() {
        let check = |cookie: &str, accept: &str, expected: Lang| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
            assert_eq!(Lang::of(&headers), expected, "{cookie} {accept}");
        };
        check("", "", Lang::Zh);
        check("", "de, en-GB;q=0.8, zh;q=0.5", Lang::En);
        check("", "zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh);
        check("hengwei-language=en", "zh-CN", Lang::En);
        check("hengwei-language=zh", "en", Lang::Zh);
        check("hengwei-language=xx", "en", Lang::En);
    }

    #[test]
    fn chinese_falls_back_to_english_where_a_rule_has_none() {
        assert_eq!(Lang::Zh.say("", "brute force"), "brute force");
        assert_eq!(Lang::Zh.say("暴力破解", "brute force"), "暴力破解");
        assert_eq!(Lang::En.say("暴力破解", "brute force"), "brute force");
    }
}
