//! Mail about instances and servers, to an SMTP server that writes down what it is told.

use evenkeel_e2e::probe::on;
use evenkeel_e2e::{Lan, Machine, Service, able_to_run, wait_for, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than any wait that the configurations here ask for.
const PATIENCE: Duration = Duration::from_secs(30);

const SMTP: &str = "10.0.0.5:2525";

/// What the server was told in one conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mail {
    helo: String,
    from: String,
    to: Vec<String>,
    /// Headers, an empty line, and the body.
    text: String,
}

impl Mail {
    fn subject(&self) -> &str {
        self.text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default()
    }
}

/// An SMTP server on a machine, until it is dropped.
struct Sink {
    mails: Arc<Mutex<Vec<Mail>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    fn start(machine: &Machine) -> Self {
        let listener = on(machine, || TcpListener::bind(SMTP).expect("bind the SMTP server"));
        listener.set_nonblocking(true).expect("a listener that can be asked");
        let mails = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (into, over) = (mails.clone(), is_over.clone());
        let thread = std::thread::spawn(move || {
            wait_for(Duration::from_secs(600), || {
                if let Ok((stream, _)) = listener.accept() {
                    let mail = converse(&stream).expect("a whole conversation");
                    into.lock().expect("no thread panicked").push(mail);
                }
                over.load(Ordering::Relaxed).then_some(())
            });
        });
        Sink { mails, is_over, thread: Some(thread) }
    }

    fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("no thread panicked").clone()
    }

    /// The first mail with such a subject, once it is there.
    fn await_mail(&self, subject: &str, lb: &Machine) -> Mail {
        let found = wait_for(PATIENCE, || self.mails().into_iter().find(|mail| mail.subject() == subject));
        found.unwrap_or_else(|| panic!("no mail `{subject}`: {:#?}\n{}", self.mails(), lb.logs()))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Plays the server of RFC 5321, section 4.1, and insists on its order.
fn converse(stream: &TcpStream) -> Option<Mail> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut hear = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        line.strip_suffix("\r\n").map(str::to_owned)
    };
    let mut say = |line: &str| writer.write_all(format!("{line}\r\n").as_bytes()).ok();
    let mut mail = Mail::default();
    say("220 mail.example.org")?;
    mail.helo = hear()?.strip_prefix("HELO ")?.to_owned();
    say("250-mail.example.org\r\n250 hello")?;
    mail.from = hear()?.strip_prefix("MAIL FROM:")?.to_owned();
    say("250 ok")?;
    loop {
        let line = hear()?;
        match line.strip_prefix("RCPT TO:") {
            Some(recipient) => mail.to.push(recipient.to_owned()),
            None if line == "DATA" => break,
            None => return None,
        }
        say("250 ok")?;
    }
    say("354 end with a dot")?;
    loop {
        match hear()?.as_str() {
            "." => break,
            line => mail.text += &format!("{}\n", line.strip_prefix('.').unwrap_or(line)),
        }
    }
    say("250 queued")?;
    (hear()? == "QUIT").then_some(())?;
    say("221 bye")?;
    Some(mail)
}

const CONF: &str = r#"global_defs {
    router_id LB_1
    notification_email {
        ops@example.org
        "Night Shift <night@example.org>"
    }
    notification_email_from keepalived@example.org
    smtp_server 10.0.0.5 2525
    smtp_helo_name lb.example.org
    smtp_connect_timeout 2
    lb_plane xdp
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 50
    priority 150
    version 3
    advert_int 0.1
    smtp_alert
    virtual_ipaddress {
        10.0.0.100
    }
}
vrrp_instance VI_2 {
    interface eth0
    virtual_router_id 51
    priority 150
    version 3
    advert_int 0.1
    virtual_ipaddress {
        10.0.0.101
    }
}
"#;

const SERVICE: &str = "virtual_server 10.0.0.100 7000 {
    protocol TCP
    delay_loop 0.5
    real_server 10.0.0.5 7000 {
        weight 1
        TCP_CHECK {
            connect_timeout 1
            retry 0
            warmup 0
        }
    }
}
";

fn balancer(lan: &Lan, conf: &str) -> Machine {
    let lb = lan.machine("lb01", "eth0", "10.0.0.10/24").with_evenkeel();
    lb.write("/etc/keepalived/keepalived.conf", conf);
    lb.start_service(Service::Keepalived);
    lb.await_holding("10.0.0.100", PATIENCE);
    lb
}

#[test]
fn an_instance_and_a_real_server_are_written_about_by_a_process_without_rights() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let other = lan.machine("other", "eth0", "10.0.0.5/24");
    let sink = Sink::start(&other);
    let lb = balancer(&lan, &(CONF.to_owned() + SERVICE));

    let mail = sink.await_mail("[LB_1] VRRP Instance VI_1 - Entering MASTER state", &lb);
    assert_eq!(
        (mail.helo.as_str(), mail.from.as_str(), mail.to.join(" ").as_str()),
        ("lb.example.org", "<keepalived@example.org>", "<ops@example.org> <night@example.org>")
    );
    let (headers, body) = mail.text.split_once("\n\n").expect("headers and a body");
    for header in [
        "From: keepalived@example.org",
        "X-Mailer: Keepalived",
        "To: ops@example.org,\n Night Shift <night@example.org>",
    ] {
        assert!(headers.contains(header), "{headers}");
    }
    assert!(headers.starts_with("Date: ") && headers.contains(" +0000\n"), "{headers}");
    assert_eq!(body, "=> VRRP Instance is now owning VRRP VIPs <=\n");

    let mail =
        sink.await_mail("[LB_1] Realserver [10.0.0.5]:tcp:7000 of virtual server [10.0.0.100]:tcp:7000 - DOWN", &lb);
    assert!(mail.text.contains("=> CHECK failed on service <=\n"), "{}", mail.text);

    // The first number is the real user, the others are the effective one, the saved one and that of files.
    let status = lb.shell("cat /proc/$(pgrep -f '[-]-role mail')/status");
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!(field("Uid:"), "65534\t65534\t65534\t65534", "{status}");
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(set), "0000000000000000", "{status}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert!(lb.logs().contains("Remote SMTP server [10.0.0.5]:2525 connected."), "{}", lb.logs());

    lb.stop_service(Service::Keepalived);
    sink.await_mail("[LB_1] VRRP Instance VI_1 - Stopping", &lb);
    assert!(!sink.mails().iter().any(|mail| mail.subject().contains("VI_2")), "{:#?}", sink.mails());
    assert!(!lb.run(&["pgrep", "-f", "[-]-role"]).status.success(), "nobody is left");
}

#[test]
fn mail_waits_for_its_server_in_order_also_when_the_helper_dies_and_a_reload_names_other_recipients() {
    if !able_to_run(&[]) {
        return;
    }
    let lan = Lan::new();
    let other = lan.machine("other", "eth0", "10.0.0.5/24");
    let lb = balancer(&lan, CONF);
    let refused = || lb.logs().contains("connect to SMTP server [10.0.0.5]:2525");
    assert!(wait_until(PATIENCE, refused), "{}", lb.logs());
    lb.shell("kill -9 $(pgrep -f '[-]-role mail')");
    assert!(wait_until(PATIENCE, || lb.logs().contains("the mail role killed by signal 9")), "{}", lb.logs());
    lan.cable("lb01", false);
    let fault = || lb.logs().contains("VI_1") && lb.status().is_some_and(|s| s["instances"][0]["state"] == "fault");
    assert!(wait_until(PATIENCE, fault), "{:?}\n{}", lb.status(), lb.logs());
    lan.cable("lb01", true);

    let sink = Sink::start(&other);
    lb.write("/etc/keepalived/keepalived.conf", &CONF.replace("ops@example.org", "boss@example.org"));
    lb.shell("evenkeel reload");
    sink.await_mail("[LB_1] VRRP Instance VI_1 - Entering FAULT state", &lb);
    let mails = sink.mails();
    let at = |state: &str| mails.iter().position(|mail| mail.subject().contains(state));
    assert!(at("MASTER") < at("FAULT") && at("MASTER").is_some(), "{mails:#?}");
    assert!(mails.iter().all(|mail| mail.to == ["<boss@example.org>", "<night@example.org>"]), "{mails:#?}");
}
