//! Layer-4 services, their health checks, and BFD.

use super::{Directive, MANY, does, moot, rows};
use crate::keepalived::lower::balance::{check, group, http, misc, pool, probes, server, udp};
use crate::keepalived::lower::{bfd, nothing};

rows! {
    in [Root] {
        "bfd_instance" "NAME (<= 31 chars) { ... }" 1..1 T3 Bfd does(bfd::begin) "Asynchronous BFD session (single hop 3784, multihop 4784).";
    }
    in [Bfd] {
        "neighbor_ip" "ADDR" 1..1 T3 line does(bfd::neighbour) "Address of the peer.";
        "neighbour_ip" "ADDR" 1..1 T3 line does(bfd::neighbour) "The same as neighbor_ip.";
        "source_ip" "ADDR" 1..1 T3 line does(bfd::source) "Source.";
        "min_rx" "ms, 3 decimals" 1..1 T3 line does(bfd::min_rx) "Required min RX interval.";
        "min_tx" "ms" 1..1 T3 line does(bfd::min_tx) "Desired min TX interval.";
        "idle_tx" "ms >= 1000" 1..1 T3 line does(bfd::idle_tx) "TX interval while not Up.";
        "multiplier" "1..255" 1..1 T3 line does(bfd::multiplier) "Detection multiplier.";
        "passive" "" 0..0 T3 line does(bfd::passive) "Do not send until the peer does.";
        "ttl" "1..255" 1..1 T3 line does(bfd::ttl) "Sent TTL.";
        "hoplimit" "1..255" 1..1 T3 line does(bfd::ttl) "Hop limit of what is sent, for IPv6.";
        "max_hops" "-1..255" 1..1 T3 line does(bfd::max_hops) "Accepted TTL loss.";
        "multihop" "[BOOL]" 0..1 T3 line does(bfd::multihop) "RFC 5883 port.";
        "weight" "-253..253 [reverse]" 1..2 T3 line does(bfd::weight) "Default tracking weight (VRRP side).";
        "vrrp" "" 0..0 T3 line does(bfd::vrrp) "Send events to the VRRP child only.";
        "checker" "" 0..0 T3 line does(bfd::checker) "Send events to the checker child only.";
    }
    in [Root] {
        "SSL" "{ ... }" 0..0 T3 Ssl does(nothing) "Client certificate settings for SSL_GET.";
    }
    in [Ssl] {
        "password" "STRING" 1..1 T3 line does(http::ssl_password) "Key passphrase.";
        "ca" "FILE" 1..1 T3 line does(http::ssl_ca) "CA file.";
        "certificate" "FILE" 1..1 T3 line does(http::ssl_certificate) "Certificate.";
        "key" "FILE" 1..1 T3 line does(http::ssl_key) "Private key.";
    }
    in [Root] {
        "virtual_server_group" "NAME { ADDR[-range|/mask] [PORT] | fwmark N [inet|inet6] ... }" 1..1 T2 values does(group::begin) "Addresses and marks that share one virtual server.";
        "virtual_server" "ADDR [PORT] | fwmark N | group NAME { ... }" 1..3 T1 VirtualServer does(pool::begin) "One IPVS service (or family of services).";
    }
    in [VirtualServer] {
        "ip_family" "inet | inet6" 1..1 T3 line does(pool::ip_family) "Family of a fwmark service.";
        "protocol" "TCP | UDP | SCTP" 1..1 T1 line does(pool::protocol) "Layer-4 protocol of an address service.";
        "lb_algo" "rr wrr lc wlc lblc sh mh dh fo ovf lblcr sed nq twos" 1..1 T1 line does(pool::lvs_sched) "Scheduler.";
        "lvs_sched" "SCHEDULER" 1..1 T1 line does(pool::lvs_sched) "Preferred spelling of lb_algo.";
        "lb_kind" "NAT | DR | TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum]" 1..MANY T1 line does(pool::lvs_method) "Forwarding method.";
        "lvs_method" "NAT | DR | TUN ..." 1..MANY T1 line does(pool::lvs_method) "Preferred spelling of lb_kind.";
        "persistence_timeout" "[SECONDS]" 0..1 T1 line does(pool::persistence_timeout) "Persistent service.";
        "persistence_granularity" "NETMASK or prefix length" 1..1 T3 line does(pool::persistence_granularity) "Client grouping (implies persistence).";
        "persistence_engine" "NAME" 1..1 T3 line does(pool::persistence_engine) "Persistence engine of the kernel, such as sip.";
        "hashed" "" 0..0 T4 line moot("keepalived does nothing with it either") "Accepted without meaning.";
        "ops" "" 0..0 T3 line does(pool::ops) "One-packet scheduling (UDP).";
        "flag-1" "" 0..0 T3 line does(pool::flag_1) "Generic scheduler flag 1.";
        "flag-2" "" 0..0 T3 line does(pool::flag_2) "Generic scheduler flag 2.";
        "flag-3" "" 0..0 T3 line does(pool::flag_3) "Generic scheduler flag 3.";
        "sh-port" "" 0..0 T3 line does(pool::sh_port) "Hash the port too; needs the scheduler sh.";
        "sh-fallback" "" 0..0 T3 line does(pool::sh_fallback) "Choose another server when the hashed one is down; needs the scheduler sh.";
        "mh-port" "" 0..0 T3 line does(pool::mh_port) "Hash the port too; needs the scheduler mh.";
        "mh-fallback" "" 0..0 T3 line does(pool::mh_fallback) "Choose another server when the hashed one is down; needs the scheduler mh.";
        "weight" "1..2^31-1" 1..1 T3 line does(pool::weight) "Default real server weight.";
        "delay_loop" "decimal s" 1..1 T1 line does(pool::delay_loop) "Poll interval default.";
        "connect_timeout" "decimal s" 1..1 T2 line does(pool::connect_timeout) "Default connect timeout.";
        "retry" ">= 1" 1..1 T2 line does(pool::retry) "Default retries.";
        "delay_before_retry" "decimal s" 1..1 T2 line does(pool::delay_before_retry) "Default delay before retry.";
        "warmup" "decimal s" 1..1 T3 line does(pool::warmup) "Upper bound of the random start delay.";
        "inhibit_on_failure" "" 0..0 T2 line does(pool::inhibit_on_failure) "Failed real server keeps an entry with weight 0.";
        "alpha" "" 0..0 T2 line does(pool::alpha) "Start with all real server assumed down.";
        "omega" "" 0..0 T3 line does(pool::omega) "Run down notifications at exit.";
        "quorum" ">= 1" 1..1 T2 line does(pool::quorum) "Sum of weights needed.";
        "hysteresis" ">= 0" 1..1 T3 line does(pool::hysteresis) "Dampening of quorum changes.";
        "quorum_up" "\"CMD\" [user [:][group]]" 1..4 T2 line does(pool::quorum_up) "Script on gain.";
        "quorum_down" "\"CMD\" [user [:][group]]" 1..4 T2 line does(pool::quorum_down) "Script on loss.";
        "ha_suspend" "" 0..0 T3 line does(pool::ha_suspend) "Suspend checkers while the VS address is not present locally.";
        "smtp_alert" "[BOOL]" 0..1 T3 line does(pool::smtp_alert) "Mail on quorum change.";
        "virtualhost" "STRING" 1..1 T2 line does(pool::virtualhost) "Default Host header.";
        "snmp_name" "STRING" 1..1 T3 line does(pool::snmp_name) "Label in SNMP.";
        "sorry_server" "ADDR [PORT]" 1..2 T1 line does(pool::sorry_server) "Server of last resort.";
        "sorry_server_inhibit" "" 0..0 T3 line does(pool::sorry_server_inhibit) "Keep the sorry server in the table with weight 0 while it is not needed.";
        "sorry_server_lvs_method" "NAT | DR | TUN ..." 1..MANY T3 line does(pool::sorry_server_lvs_method) "Forwarding of the sorry server.";
        "real_server" "ADDR [PORT] { ... }" 1..2 T1 RealServer does(server::begin) "One destination.";
    }
    in [RealServer] {
        "weight" "0..2^31-1" 1..1 T1 line does(server::weight) "Weight.";
        "lvs_method" "NAT | DR | TUN ..." 1..MANY T2 line does(server::lvs_method) "Forwarding method of this server.";
        "uthreshold" "N" 1..1 T3 line does(server::uthreshold) "IPVS upper connection threshold.";
        "lthreshold" "N" 1..1 T3 line does(server::lthreshold) "IPVS lower threshold.";
        "inhibit_on_failure" "[BOOL]" 0..1 T2 line does(server::inhibit_on_failure) "Keep it with weight 0 when it fails of this server.";
        "notify_up" "\"CMD\" [user [:][group]]" 1..4 T2 line does(server::notify_up) "Script on up.";
        "notify_down" "\"CMD\" [user [:][group]]" 1..4 T2 line does(server::notify_down) "Script on down.";
        "alpha" "[BOOL]" 0..1 T3 line does(server::alpha) "Start as down of this server.";
        "retry" ">= 1" 1..1 T2 line does(server::retry) "Retries of this server.";
        "delay_before_retry" "decimal s" 1..1 T2 line does(server::delay_before_retry) "Delay before a retry of this server.";
        "warmup" "decimal s" 1..1 T3 line does(server::warmup) "Bound of the random start delay of this server.";
        "connect_timeout" "decimal s" 1..1 T2 line does(server::connect_timeout) "Connect timeout of this server.";
        "delay_loop" "decimal s" 1..1 T2 line does(server::delay_loop) "Poll interval of this server.";
        "smtp_alert" "[BOOL]" 0..1 T3 line does(server::smtp_alert) "Mail when this server comes or goes.";
        "virtualhost" "STRING" 1..1 T3 line does(server::virtualhost) "Host header of this server.";
        "snmp_name" "STRING" 1..1 T3 line does(server::snmp_name) "Label.";
    }
    in [HttpGet SslGet TcpCheck PingCheck UdpCheck SmtpCheck SmtpHost DnsCheck AgentCheck] {
        "connect_ip" "ADDR" 1..1 T3 line does(check::connect_ip) "Target.";
        "connect_port" "PORT" 1..1 T1 line does(check::connect_port) "Target port (a real server without port needs it for TCP-like checks).";
        "bindto" "ADDR" 1..1 T3 line does(check::bindto) "Source address.";
        "bind_port" "PORT" 1..1 T3 line does(check::bind_port) "Source port.";
        "bind_if" "IF" 1..1 T3 line does(check::bind_if) "SO_BINDTODEVICE (needed for link-local).";
        "connect_timeout" "decimal s" 1..1 T1 line does(check::connect_timeout) "Timeout.";
        "fwmark" "N" 1..1 T3 line does(check::fwmark) "SO_MARK.";
    }
    in [HttpGet SslGet TcpCheck PingCheck UdpCheck SmtpCheck DnsCheck MiscCheck AgentCheck] {
        "retry" ">= 0" 1..1 T1 line does(check::retry) "Retries after the first failure.";
        "delay_before_retry" "decimal s" 1..1 T1 line does(check::delay_before_retry) "Delay between retries.";
        "warmup" "decimal s" 1..1 T3 line does(check::warmup) "Random start delay bound.";
        "delay_loop" "decimal s" 1..1 T2 line does(check::delay_loop) "Poll interval.";
        "alpha" "[BOOL]" 0..1 T3 line does(check::alpha) "Start down.";
        "log_all_failures" "[BOOL]" 0..1 T3 line does(check::log_all_failures) "Log each failed probe.";
    }
    in [RealServer] {
        "HTTP_GET" "{ ... }" 0..0 T1 HttpGet does(http::http_get) "HTTP probe.";
        "SSL_GET" "{ ... }" 0..0 T2 SslGet does(http::ssl_get) "HTTPS probe (certificates are not verified).";
    }
    in [HttpGet SslGet] {
        "nb_get_retry" "N" 1..1 T4 line does(check::nb_get_retry) "Deprecated name of retry.";
        "virtualhost" "STRING" 1..1 T2 line does(http::virtualhost) "Host header for this checker.";
        "http_protocol" "1.0 | 1.0C | 1.1" 1..1 T3 line does(http::http_protocol) "Request version.";
        "enable_sni" "" 0..0 T2 line does(http::enable_sni) "Send SNI (SSL_GET).";
        "sni_name" "NAME" 1..1 T3 line does(http::sni_name) "Explicit SNI value (new after 2.4.3).";
        "fast_recovery" "[BOOL]" 0..1 T3 line does(http::fast_recovery) "No delay between URLs when recovering.";
        "tls_compliant" "" 0..0 T3 line does(http::tls_compliant) "Send close_notify at the end.";
        "url" "{ ... }" 0..0 T1 Url does(http::begin_url) "One request.";
    }
    in [Url] {
        "path" "STRING" 1..1 T1 line does(http::path) "Request path.";
        "digest" "32 hex digits" 1..1 T2 line does(http::digest) "MD5 of the body.";
        "status_code" "N | N-M ..." 1..MANY T1 line does(http::status_code) "Accepted codes.";
        "virtualhost" "STRING" 1..1 T3 line does(http::url_virtualhost) "Host header for this URL.";
        "regex" "PCRE2" 1..1 T3 line does(http::regex) "Body must match.";
        "regex_no_match" "" 0..0 T3 line does(http::regex_no_match) "Fail when the pattern matches.";
        "regex_options" "WORDS" 1..MANY T3 line does(http::regex_options) "PCRE2 compile options.";
        "regex_min_offset" "BYTES" 1..1 T3 line does(http::regex_min_offset) "Start of search.";
        "regex_max_offset" "BYTES" 1..1 T3 line does(http::regex_max_offset) "Latest match start.";
        "regex_stack" "START MAX" 2..2 T3 line moot("patterns are matched within bounds of their own") "JIT stack.";
        "tls_compliant" "" 0..0 T3 line does(http::url_tls_compliant) "Per-URL close_notify.";
    }
    in [RealServer] {
        "TCP_CHECK" "{ ... }" 0..0 T1 TcpCheck does(probes::tcp) "Connect succeeded = up.";
        "PING_CHECK" "{ ... }" 0..0 T3 PingCheck does(probes::ping) "ICMP echo through an unprivileged ping socket.";
        "UDP_CHECK" "{ ... }" 0..0 T2 UdpCheck does(udp::begin) "Send a datagram; an ICMP error means down.";
    }
    in [UdpCheck] {
        "payload" "HEX" 1..1 T3 line does(udp::payload) "Bytes to send.";
        "require_reply" "[HEX with x wildcards]" 0..1 T3 line does(udp::require_reply) "A reply is needed (optionally matching).";
        "min_reply_length" "0..65535" 1..1 T3 line does(udp::min_reply_length) "Shortest reply that counts.";
        "max_reply_length" "0..65535" 1..1 T3 line does(udp::max_reply_length) "Longest reply that counts.";
    }
    in [RealServer] {
        "SMTP_CHECK" "{ ... }" 0..0 T2 SmtpCheck does(probes::smtp) "220 / HELO 250 / QUIT dialogue.";
    }
    in [SmtpCheck] {
        "helo_name" "STRING" 1..1 T3 line does(probes::helo_name) "HELO argument.";
        "host" "{ connect_* ... }" 0..0 T4 SmtpHost does(probes::host) "Old block with the connection settings of one host.";
    }
    in [RealServer] {
        "DNS_CHECK" "{ ... }" 0..0 T2 DnsCheck does(probes::dns) "UDP query, rcode 0 = up.";
    }
    in [DnsCheck] {
        "type" "A NS CNAME SOA MX TXT AAAA ..." 1..1 T3 line does(probes::dns_type) "Query type.";
        "name" "DOMAIN" 1..1 T3 line does(probes::dns_name) "Query name.";
    }
    in [RealServer] {
        "MISC_CHECK" "{ ... }" 0..0 T2 MiscCheck does(misc::begin) "Program exit status.";
    }
    in [MiscCheck] {
        "misc_path" "\"CMD\"" 1..4 T2 line does(misc::misc_path) "Program.";
        "misc_timeout" "SECONDS" 1..1 T2 line does(misc::misc_timeout) "A run longer than this is ended and counts as failed.";
        "misc_dynamic" "" 0..0 T3 line does(misc::misc_dynamic) "Exit 2..255 sets weight.";
        "user" "USER [[:]GROUP]" 1..3 T3 line does(misc::user) "Identity.";
    }
    in [RealServer] {
        "FILE_CHECK" "{ ... }" 0..0 T3 FileCheck does(probes::file) "Use a track_file for weight/state.";
    }
    in [FileCheck] {
        "track_file" "NAME" 1..1 T3 line does(probes::file_track_file) "The track_file to follow.";
        "weight" "+-(2^31-1) [reverse|noreverse]" 1..2 T3 line does(probes::file_weight) "Multiplier of the value in the file.";
    }
    in [RealServer] {
        "BFD_CHECK" "{ ... }" 0..0 T3 BfdCheck does(probes::bfd) "Follow a bfd_instance.";
    }
    in [BfdCheck] {
        "name" "BFD NAME" 1..1 T3 line does(probes::bfd_name) "Session.";
        "alpha" "[BOOL]" 0..1 T3 line does(check::alpha) "Start down.";
    }
    in [VirtualServer] {
        "slow_start" "SECONDS[s]" 1..1 Ours line does(pool::slow_start) "A server that came up gets its weight little by little over so long; for all real servers.";
    }
    in [RealServer] {
        "slow_start" "SECONDS[s]" 1..1 Ours line does(server::slow_start) "After it came up the weight rises to its full value over so long.";
        "AGENT_CHECK" "{ ... }" 0..0 Ours AgentCheck does(probes::agent) "A line of text from an agent on the server, in HAProxy's format, sets weight and state.";
    }
    in [AgentCheck] {
        "send" "\"TEXT\"" 1..1 Ours line does(probes::agent_send) "Sent to the agent first.";
    }
    in [HttpGet SslGet TcpCheck PingCheck UdpCheck SmtpCheck DnsCheck AgentCheck] {
        "via" "dataplane" 1..1 Ours line does(check::via) "The check goes to the virtual address, as this server would get a client's packets.";
    }
}
