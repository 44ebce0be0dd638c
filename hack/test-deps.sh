#!/usr/bin/env bash
# Installs the programs that tests run and that Go modules cannot bring, where they are missing. Debian and its relatives
# only; elsewhere it says what to install.
set -euo pipefail

# The portal is tested in a real browser. Any of these names will do.
browsers=(chromium chromium-browser google-chrome google-chrome-stable headless-shell)
mac_browser="/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"

missing=()
command -v "${browsers[@]}" >/dev/null || [ -x "$mac_browser" ] || missing+=(chromium)

# Mails go to a mail server of others, with a configuration that the test writes. sbin is not on everybody's path.
[ -x /usr/sbin/postfix ] || missing+=(postfix)
[ -x /usr/sbin/saslpasswd2 ] || missing+=(sasl2-bin)
compgen -G '/usr/lib/*/sasl2/libscram.so' >/dev/null || missing+=(libsasl2-modules)

if [ ${#missing[@]} -eq 0 ]; then
	exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	as_root=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
	echo "the tests need these Debian packages, or their like: ${missing[*]}" >&2
	echo "install them and run make test again" >&2
	exit 1
fi

echo "installing for the tests: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" </dev/null >>"$log" 2>&1
}
if [[ " ${missing[*]} " == *" postfix "* ]]; then
	# Without a configuration of the machine's own nothing is started, now or at boot.
	echo "postfix postfix/main_mailer_type select No configuration" | "${as_root[@]}" debconf-set-selections
fi
# Not at the price of what is here, such as another mail server.
if ! { install update && install install --yes --no-remove --no-install-recommends "${missing[@]}"; }; then
	cat "$log" >&2
	exit 1
fi
