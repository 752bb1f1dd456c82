//! Apache on the intranet.

use super::Stage;
use super::stamp::Stamp;
use super::world::INTRANET;

pub(super) const APACHE: &str = "/var/log/apache2/access.log";
pub(super) const APACHE_ERROR: &str = "/var/log/apache2/error.log";

impl Stage {
    /// The intranet: staff pages, forms, files.
    pub(super) fn intranet(&mut self) {
        let (from, user, agent) = (self.dice.station(), self.dice.person(), self.browser());
        for step in 0..=self.dice.zipf(7) {
            let time = self.at(i64::try_from(step * 300).unwrap_or(0));
            let number = self.dice.zipf(20_000);
            let path = match self.dice.zipf(8) {
                0 => format!("/oa/index.jsp?menu={}", number % 40),
                1 => format!("/oa/workflow/view.do?id={number}&node={}", number % 6),
                2 => format!("/download/notice/{}/{}.docx", 2_020 + number % 7, self.dice.word()),
                3 => "/oa/static/jquery.min.js".to_owned(),
                4 => format!("/oa/mail/inbox?page={}&sort=date&unread=1", number % 30),
                5 => format!("/roster/{}/week/{}", number % 60, number % 53),
                6 => format!("/wiki/{}?action=edit&rev={number}", self.dice.word()),
                _ => format!(
                    "/training/course/{number}/video/{}.mp4?t={}",
                    self.dice.hex(8),
                    number % 3_600
                ),
            };
            let status = self.dice.usual(&[200, 304, 302, 404, 403, 500]);
            let size = self.dice.tailed(4_000);
            self.line(time, INTRANET, APACHE, format!("{from} - {user} [{}] \"GET {path} HTTP/1.1\" {status} {size} \"http://intranet/oa/index.jsp\" \"{agent}\"", Stamp::of(time).access()));
        }
    }

    /// Apache has something to complain of.
    pub(super) fn apache_error(&mut self) {
        let time = self.at(0);
        let (pid, number) = (2_000 + self.dice.roll(24), self.dice.zipf(5_000));
        let client = format!("[client {}:{}]", self.dice.station(), self.dice.port());
        let (module, said) = match self.dice.zipf(7) {
            0 => (
                "core:info",
                format!(
                    "{client} AH00128: File does not exist: /var/www/html/{}/{}.gif",
                    self.dice.word(),
                    self.dice.word()
                ),
            ),
            1 => (
                "proxy_ajp:error",
                format!(
                    "(70007)The timeout specified has expired: {client} AH01030: ajp_ilink_receive() can't receive header"
                ),
            ),
            2 => (
                "authz_core:error",
                format!(
                    "{client} AH01630: client denied by server configuration: /var/www/html/admin/{}",
                    self.dice.word()
                ),
            ),
            3 => (
                "php:warn",
                format!(
                    "{client} PHP Warning:  Undefined array key \"{}\" in /var/www/html/oa/lib/{}.php on line {number}, referer: http://intranet/oa/index.jsp?menu={}",
                    self.dice.word(),
                    self.dice.usual(&["form", "roster", "mail", "tree"]),
                    number % 40
                ),
            ),
            4 => (
                "ssl:warn",
                format!(
                    "AH01909: {}.lan:443:0 server certificate does NOT include an ID which matches the server name",
                    self.dice.word()
                ),
            ),
            5 => (
                "mpm_event:notice",
                "AH00489: Apache/2.4.57 (Debian) configured -- resuming normal operations"
                    .to_owned(),
            ),
            _ => (
                "security2:error",
                format!(
                    "{client} ModSecurity: Warning. Pattern match \"(?i:select.+from)\" at ARGS:{}. [file \"/etc/modsecurity/rules/{}.conf\"] [line \"{number}\"] [id \"{}\"] [uri \"/oa/search\"] [unique_id \"{}\"]",
                    self.dice.word(),
                    913 + number % 40,
                    942_000 + number % 400,
                    self.dice.hex(16)
                ),
            ),
        };
        self.line(
            time,
            INTRANET,
            APACHE_ERROR,
            format!(
                "[{}] [{module}] [pid {pid}:tid 1399{:011}] {said}",
                Stamp::of(time).apache(time),
                number * 65_537
            ),
        );
    }
}
