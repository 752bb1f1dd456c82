//! nginx before the citizens' portal and the image archive.

use super::Stage;
use super::stamp::Stamp;
use super::world::{Host, PACS, PORTALS};

pub(super) const ACCESS: &str = "/var/log/nginx/access.log";
pub(super) const ERROR: &str = "/var/log/nginx/error.log";

const DEPARTMENTS: [&str; 12] = [
    "0101", "0203", "0302", "0404", "0501", "0507", "0612", "0703", "0811", "0902", "1001", "1105",
];
const PROBES: [&str; 18] = [
    "/.env",
    "/wp-login.php",
    "/phpmyadmin/index.php",
    "/actuator/health",
    "/.git/config",
    "/manager/html",
    "/cgi-bin/luci",
    "/boaform/admin/formLogin",
    "/solr/admin/info/system?wt=json",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/api/jsonws/invoke",
    "/robots.txt",
    "/index.php?s=/Index/\\think\\app/invokefunction&function=call_user_func_array&vars[0]=md5",
    "/login.action?redirect:%24%7B7%2A7%7D",
    "/owa/auth/logon.aspx",
    "/console/login/LoginForm.jsp",
    "/?id=1%27%20OR%20%271%27=%271",
    "/static/../../../../etc/passwd",
];

impl Stage {
    pub(super) fn browser(&mut self) -> String {
        let (major, minor) = (108 + self.dice.zipf(26), self.dice.roll(6_000));
        let ios = format!("{}_{}", 15 + self.dice.zipf(4), self.dice.roll(7));
        let model = self.dice.usual(&[
            "M2102J2SC",
            "V2055A",
            "PEGM00",
            "ELS-AN00",
            "LIO-AL00",
            "RMX3350",
            "23049RAD8C",
            "NOH-AN01",
            "TAS-AL00",
            "V2219A",
            "PGT-AN10",
            "ABR-AL80",
        ]);
        match self.dice.zipf(10) {
            0 => format!("Mozilla/5.0 (Linux; Android {}; {model} Build/{}; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/{major}.0.{minor}.{} Mobile Safari/537.36 XWEB/{} MMWEBSDK/20230805 MicroMessenger/8.0.{} NetType/{} Language/zh_CN", 9 + self.dice.zipf(6), self.dice.pick(&["TP1A.220624.014", "SP1A.210812.016", "RKQ1.200826.002"]), minor % 200, 5_000 + self.dice.roll(900), 30 + self.dice.roll(20), self.dice.usual(&["WIFI", "5G", "4G"])),
            1 => format!("Mozilla/5.0 (iPhone; CPU iPhone OS {ios} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.{}(0x1800{}) NetType/WIFI Language/zh_CN", 30 + self.dice.roll(20), self.dice.hex(4)),
            2 => format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36"),
            3 => format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36 Edg/{major}.0.{}.{}", 1_000 + minor % 900, minor % 99),
            4 => format!("Mozilla/5.0 (iPhone; CPU iPhone OS {ios} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.0 Mobile/15E148 Safari/604.1", 15 + self.dice.zipf(4)),
            5 => format!("Mozilla/5.0 (Linux; Android {}; {model}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Mobile Safari/537.36", 9 + self.dice.zipf(6)),
            6 => "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; WOW64; Trident/4.0; SLCC2; .NET CLR 2.0.50727)".to_owned(),
            7 => format!("HealthCard/{}.{}.{} (Android {}; {model})", 2 + minor % 2, minor % 9, minor % 31, 9 + self.dice.zipf(6)),
            8 => format!("okhttp/4.{}.{}", minor % 13, minor % 4),
            _ => format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{}.{} Safari/605.1.15", 14 + minor % 4, minor % 7),
        }
    }

    fn robot(&mut self) -> &'static str {
        self.dice.usual(&[
            "-",
            "Mozilla/5.0 zgrab/0.x",
            "curl/7.88.1",
            "python-requests/2.31.0",
            "Go-http-client/1.1",
            "Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)",
            "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
            "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
            "libwww-perl/6.68",
            "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
        ])
    }

    fn request(&mut self) -> (&'static str, String) {
        let number = self.dice.roll(1 << 30);
        let (patient, department) = (self.dice.patient(), self.dice.usual(&DEPARTMENTS));
        let day = &Stamp::of(self.now).packed()[..8];
        match self.dice.zipf(34) {
            0 => (
                "GET",
                format!(
                    "/api/card/qr?cardNo={patient}&ts={}&sign={}{}",
                    self.now / 1_000_000,
                    self.dice.hex(16),
                    self.dice.hex(16)
                ),
            ),
            1 => (
                "GET",
                format!(
                    "/api/register/schedule?dept={department}&date={day}&page={}",
                    1 + number % 5
                ),
            ),
            2 => ("POST", "/api/auth/token".to_owned()),
            3 => (
                "GET",
                format!(
                    "/assets/js/chunk-{:08x}.js",
                    self.dice.zipf(300) * 2_654_435_761 % (1 << 32)
                ),
            ),
            4 => (
                "GET",
                format!(
                    "/assets/css/app.{:08x}.css",
                    self.dice.zipf(40) * 2_654_435_761 % (1 << 32)
                ),
            ),
            5 => (
                "GET",
                format!(
                    "/api/report/list?patientId={patient}&type={}&from={day}",
                    self.dice.usual(&["lab", "exam", "all"])
                ),
            ),
            6 => ("POST", "/api/register/order".to_owned()),
            7 => ("GET", format!("/api/doctor/{}/slots?day={day}", 1_000 + self.dice.zipf(800))),
            8 => ("GET", format!("/api/report/{}/pdf?download={}", self.dice.uuid(), number % 2)),
            9 => (
                "POST",
                format!("/api/pay/callback/{}", self.dice.usual(&["wechat", "alipay", "unionpay"])),
            ),
            10 => (
                "GET",
                format!("/static/img/banner{}.png?v={}", number % 9, 20_260_000 + number % 31),
            ),
            11 => (
                "GET",
                format!(
                    "/api/queue/{department}/position?ticket={}{:03}",
                    (b'A' + (number % 6) as u8) as char,
                    number % 400
                ),
            ),
            12 => ("GET", "/favicon.ico".to_owned()),
            13 => ("GET", format!("/api/news/{}", 40_000 - self.dice.zipf(3_000))),
            14 => ("PUT", format!("/api/profile/{patient}/contacts/{}", number % 4)),
            15 => (
                "GET",
                format!(
                    "/search?q={}&scope={}",
                    escaped(number),
                    self.dice.usual(&["doctor", "dept", "all"])
                ),
            ),
            16 => (
                "GET",
                format!("/film/viewer?study={}&token={}", self.dice.uid(), self.dice.hex(16)),
            ),
            17 => ("POST", format!("/api/consult/{}/messages", self.dice.uuid())),
            18 => ("GET", "/healthz".to_owned()),
            19 => ("DELETE", format!("/api/register/order/{}", self.dice.uuid())),
            20 => (
                "GET",
                format!("/api/insurance/balance?card={:08x}{:04x}", number, number & 0xffff),
            ),
            21 => {
                ("GET", format!("/api/vaccine/plan?child={patient}&town={}", 131_100 + number % 90))
            }
            22 => ("HEAD", "/".to_owned()),
            23 => (
                "GET",
                format!(
                    "/fonts/iconfont.woff2?t={}",
                    1_690_000_000_000_u64 + self.dice.zipf(9) * 77_777_777
                ),
            ),
            24 => ("POST", "/api/track/events".to_owned()),
            25 => ("GET", format!("/api/bill/{}-{:06}/items", day, number % 900_000)),
            26 => ("OPTIONS", "/api/register/order".to_owned()),
            27 => ("GET", format!("/api/family/{}/members", 10_000 + self.dice.zipf(70_000))),
            28 => (
                "GET",
                format!(
                    "/weixin/oauth?code={}{}&state={}",
                    self.dice.hex(16),
                    self.dice.hex(16),
                    self.dice.hex(6)
                ),
            ),
            29 => ("GET", format!("/api/bed/free?ward={}", number % 44)),
            30 => ("PATCH", format!("/api/followup/{}", self.dice.uuid())),
            31 => ("GET", "/sitemap.xml".to_owned()),
            32 => ("GET", format!("/api/drug/{}/instructions", self.dice.zipf(9_000))),
            _ => (
                "GET",
                format!(
                    "/{}/{}?{}={}",
                    self.dice.word(),
                    self.dice.word(),
                    self.dice.word(),
                    number
                ),
            ),
        }
    }

    /// One visitor opens a page: some requests in a row.
    pub(super) fn visit(&mut self) {
        let host = self.dice.pick(&PORTALS);
        let (from, agent) = (self.dice.citizen(), self.browser());
        let referer = match self.dice.zipf(6) {
            0 => "-".to_owned(),
            1 => "https://jk.hospital.example/".to_owned(),
            2 => format!("https://jk.hospital.example/pages/index?scene={}", self.dice.zipf(1_100)),
            3 => "https://jk.hospital.example/register/".to_owned(),
            4 => format!(
                "https://servicewechat.com/wx{}/{}/page-frame.html",
                "4f1a9c02b7d35e68",
                self.dice.roll(200)
            ),
            _ => {
                format!("https://www.baidu.com/link?url={}{}", self.dice.hex(16), self.dice.hex(16))
            }
        };
        for step in 0..=self.dice.zipf(10) {
            let (method, path) = self.request();
            let after = i64::try_from(step * 140 + self.dice.roll(120)).unwrap_or(0);
            self.access(after, host, &from, "-", method, &path, &referer, &agent);
        }
    }

    /// Somebody looks for a door.
    pub(super) fn probing(&mut self) {
        let (host, from, agent) = (self.dice.pick(&PORTALS), self.dice.stranger(), self.robot());
        for step in 0..=self.dice.zipf(30) {
            let path = match self.dice.roll(4) {
                0 => format!("/{}.php", self.dice.word()),
                1 => format!("/{}/{}?cmd={}", self.dice.word(), self.dice.word(), self.dice.hex(8)),
                _ => self.dice.usual(&PROBES).to_owned(),
            };
            let after = i64::try_from(step * 60).unwrap_or(0);
            self.access(after, host, &from, "-", "GET", &path, "-", agent);
        }
    }

    /// A viewer loads a study through the image archive's web side.
    pub(super) fn images(&mut self) {
        let (from, user, agent) = (self.dice.station(), self.dice.person(), self.browser());
        let (study, series) = (self.dice.uid(), self.dice.uid());
        for instance in 0..=self.dice.zipf(24) {
            let path = match instance {
                0 => format!(
                    "/dicom-web/studies?StudyInstanceUID={study}&includefield=00081030&limit=101"
                ),
                1 => format!("/dicom-web/studies/{study}/series/{series}/metadata"),
                _ => format!(
                    "/dicom-web/studies/{study}/series/{series}/instances/{series}.{instance}/frames/1"
                ),
            };
            self.access(
                i64::try_from(instance * 35).unwrap_or(0),
                PACS,
                &from,
                &user,
                "GET",
                &path,
                "http://pacs-1/viewer/",
                &agent,
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of an access log")]
    fn access(
        &mut self,
        after: i64,
        host: Host,
        from: &str,
        user: &str,
        method: &str,
        path: &str,
        referer: &str,
        agent: &str,
    ) {
        let time = self.at(after);
        let status = match self.dice.roll(400) {
            0..=329 => 200,
            330..=349 => 304,
            350..=364 => 302,
            365..=379 => 404,
            380..=386 => 401,
            387..=391 => 403,
            392..=394 => 499,
            395..=396 => 502,
            397 => 500,
            398 => 429,
            _ => 206,
        };
        let status = if PROBES.contains(&path) || path.ends_with(".php") { 404 } else { status };
        let size = match status {
            304 => 0,
            404 => 153,
            _ => self.dice.tailed(2_400),
        };
        let stamp = Stamp::of(time).access();
        let millis = self.dice.tailed(14);
        let mut line = format!(
            "{from} - {user} [{stamp}] \"{method} {path} HTTP/{}\" {status} {size} \"{referer}\" \"{agent}\"",
            self.dice.usual(&["1.1", "2.0", "1.0"])
        );
        if host != PACS {
            let upstream = 21 + self.dice.roll(2);
            line += &format!(
                " rt={}.{:03} uct=0.00{} urt={}.{:03} ua=10.20.2.{upstream}:8080 rid={}{}",
                millis / 1000,
                millis % 1000,
                self.dice.roll(4),
                millis / 1000,
                millis % 1000 * 9 / 10,
                self.dice.hex(16),
                self.dice.hex(16)
            );
        }
        self.line(time, host, ACCESS, line);
    }

    /// nginx has something to complain of.
    pub(super) fn nginx_error(&mut self) {
        let (time, host) = (self.at(0), self.dice.pick(&PORTALS));
        let (worker, connection) = (1_200 + self.dice.roll(8), self.count(host) * 3);
        let (method, path) = self.request();
        let from = self.dice.citizen();
        let tail = format!(
            "client: {from}, server: jk.hospital.example, request: \"{method} {path} HTTP/1.1\", upstream: \"http://10.20.2.{}:8080{path}\", host: \"jk.hospital.example\"",
            21 + self.dice.roll(2)
        );
        let (level, said) = match self.dice.zipf(9) {
            0 => (
                "error",
                format!(
                    "upstream timed out (110: Connection timed out) while reading response header from upstream, {tail}"
                ),
            ),
            1 => (
                "warn",
                format!(
                    "an upstream response is buffered to a temporary file /var/cache/nginx/proxy_temp/{}/{:02}/{:010} while reading upstream, {tail}",
                    connection % 10,
                    connection % 97,
                    connection
                ),
            ),
            2 => (
                "error",
                format!(
                    "recv() failed (104: Connection reset by peer) while reading response header from upstream, {tail}"
                ),
            ),
            3 => (
                "error",
                format!(
                    "open() \"/srv/portal{}\" failed (2: No such file or directory), client: {from}, server: jk.hospital.example, request: \"GET {path} HTTP/1.1\", host: \"jk.hospital.example\"",
                    path.split('?').next().unwrap_or_default()
                ),
            ),
            4 => (
                "crit",
                format!(
                    "SSL_do_handshake() failed (SSL: error:0A00006C:SSL routines::bad key share) while SSL handshaking, client: {}, server: 0.0.0.0:443",
                    self.dice.stranger()
                ),
            ),
            5 => (
                "error",
                format!(
                    "limiting requests, excess: {}.{:03} by zone \"api\", client: {from}, server: jk.hospital.example, request: \"{method} {path} HTTP/2.0\", host: \"jk.hospital.example\"",
                    20 + connection % 4,
                    connection % 1000
                ),
            ),
            6 => (
                "error",
                format!(
                    "connect() failed (111: Connection refused) while connecting to upstream, {tail}"
                ),
            ),
            7 => ("info", format!("client {} closed keepalive connection", self.dice.stranger())),
            _ => (
                "alert",
                format!("{} worker_connections are not enough", 1024 + connection % 3 * 1024),
            ),
        };
        self.line(
            time,
            host,
            ERROR,
            format!(
                "{} [{level}] {worker}#{worker}: *{connection} {said}",
                Stamp::of(time).slashed()
            ),
        );
    }
}

/// A search term as a browser escapes it: Chinese, percent by percent.
fn escaped(number: u64) -> String {
    const TERMS: [&str; 10] =
        ["心内科", "张医生", "核酸", "体检", "儿科", "疫苗", "报告", "挂号", "肿瘤", "CT"];
    let term = TERMS[number as usize % TERMS.len()];
    term.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
