//! The address of a cluster: `host:port,host:port?security.protocol=SASL_SSL&sasl.username=…`.
//!
//! Owns which settings an address may hold and what is encrypted where. Never shows a setting: only the brokers.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use crate::failure::{Failure, Kind, Result};
use crate::target::wire::is_loopback;
use crate::text::{Secret, scrub};

/// What an address may set. Verification of certificates and of host names is no setting: it is on.
const ALLOWED: [&str; 10] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.key.password",
    "client.id",
];

pub struct Address {
    /// `host:port,host:port`: safe to show.
    pub brokers: String,
    pub encrypted: bool,
    insecure: bool,
    settings: Vec<(String, Secret)>,
}

impl Address {
    /// # Errors
    /// No host and port, a setting that is not allowed, or no TLS off loopback (unless `insecure`).
    pub fn parse(target: &str, text: &str, insecure: bool) -> Result<Self> {
        let refuse = |why: String| Failure::new(Kind::Target, format!("the address of Kafka {target} {why}"));
        let text = text.trim();
        let text = text.strip_prefix("kafka://").unwrap_or(text);
        let (brokers, options) = text.split_once('?').unwrap_or((text, ""));
        let brokers = brokers.trim_end_matches('/');
        let mut settings = Vec::new();
        for option in options.split('&').filter(|o| !o.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            if !ALLOWED.contains(&key) {
                // The key may be a part of a password that holds an unescaped `&`: it is not shown either.
                return Err(refuse("holds a setting that is not known".to_owned()).hint(format!(
                    "allowed are {}; `&`, `?` and `%` in a value are written as %26, %3F and %25",
                    ALLOWED.join(", ")
                )));
            }
            settings.push((key.to_owned(), Secret::new(decoded(value))));
        }
        for broker in brokers.split(',') {
            let port = broker.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if broker.contains(['@', '/', ' ']) || !matches!(port, Some(Ok(1..))) {
                // A password may stand where the broker was expected.
                return Err(refuse("is not a list of brokers".to_owned())
                    .hint("write host:port, or host:port,host:port, then settings as ?security.protocol=SASL_SSL&…"));
            }
        }
        let protocol = settings
            .iter()
            .find(|(key, _)| key == "security.protocol")
            .map_or_else(|| "PLAINTEXT".to_owned(), |(_, value)| value.expose().to_ascii_uppercase());
        let encrypted = matches!(protocol.as_str(), "SSL" | "SASL_SSL");
        if !encrypted && !matches!(protocol.as_str(), "PLAINTEXT" | "SASL_PLAINTEXT") {
            return Err(refuse("has an unknown security.protocol".to_owned())
                .hint("one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"));
        }
        let address = Self { brokers: brokers.to_owned(), encrypted, insecure, settings };
        let hosts: Vec<&str> = brokers.split(',').filter_map(|b| b.rsplit_once(':')).map(|(host, _)| host).collect();
        address.in_the_clear(target, &hosts)?;
        Ok(address)
    }

    /// Whether the brokers that the cluster leads to may be spoken to.
    ///
    /// # Errors
    /// A broker off loopback, in the clear: a tunnel's near end says nothing about its far one.
    pub fn admits(&self, target: &str, brokers: &[(String, i32)]) -> Result<()> {
        let hosts: Vec<&str> = brokers.iter().map(|(host, _)| host.as_str()).collect();
        self.in_the_clear(target, &hosts)
    }

    fn in_the_clear(&self, target: &str, hosts: &[&str]) -> Result<()> {
        match hosts.iter().find(|host| !is_loopback(host)) {
            Some(host) if !self.encrypted && !self.insecure => Err(Failure::new(
                Kind::Target,
                format!("Kafka {target}: {host} is another machine, and the connection would not be encrypted"),
            )
            .hint("add ?security.protocol=SSL or SASL_SSL to the address, or pass --insecure-tls, which is recorded")),
            _ => Ok(()),
        }
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "backout")
            .set("socket.timeout.ms", "5000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.max.ms", "1000")
            .set_log_level(RDKafkaLogLevel::Warning);
        if self.encrypted {
            // Homebrew and static builds of OpenSSL look for authorities in a prefix of their own.
            config.set("ssl.ca.location", "probe");
        }
        for (key, value) in &self.settings {
            config.set(key, value.expose());
        }
        if self.encrypted {
            let (verify, names) = if self.insecure { ("false", "none") } else { ("true", "https") };
            config
                .set("enable.ssl.certificate.verification", verify)
                .set("ssl.endpoint.identification.algorithm", names);
        }
        config
    }

    /// `text` without any value of a setting that may be secret.
    pub fn scrub(&self, text: &str) -> String {
        let secrets: Vec<Secret> = self
            .settings
            .iter()
            .filter(|(key, _)| key.ends_with("password") || key == "sasl.username")
            .map(|(_, value)| value.clone())
            .collect();
        scrub(text, &secrets)
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escape {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
