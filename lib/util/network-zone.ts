import { BlockList, isIP } from 'node:net'

/** Where an address is: on this machine, in a private network, or on the Internet. */
type NetworkZone = 'loopback' | 'private' | 'public'

const DEPTH: Record<NetworkZone, number> = { public: 0, private: 1, loopback: 2 }

/**
 * Tells whether a redirect leads further inside: from the Internet into a private network or onto this machine, or from
 * that network onto this machine. Names are judged as they are written, not by what they resolve to.
 */
export function leadsInside (from: URL, to: URL): boolean {
  return DEPTH[zoneOf(to.hostname)] > DEPTH[zoneOf(from.hostname)]
}

/**
 * Tells where a URL's host is, by its text. The URL parser has turned every form of an IPv4 address (decimal, octal,
 * hexadecimal, shortened) into four numbers.
 * @param hostname as `URL` has it: lower case, IPv6 in brackets
 */
function zoneOf (hostname: string): NetworkZone {
  const address = hostname.replace(/^\[|\]$/g, '')
  const family = isIP(address)
  if (family === 0) return zoneOfName(hostname.replace(/\.+$/, ''))
  const type = family === 6 ? 'ipv6' : 'ipv4'
  if (LOOPBACK.check(address, type)) return 'loopback'
  return PRIVATE.check(address, type) ? 'private' : 'public'
}

// `localhost` and names below it: RFC 6761, section 6.3; with `.localdomain` as hosts files have it. `.local`: RFC
// 6762. `.internal`: reserved by ICANN in 2024; `home.arpa`: RFC 8375. A name without a dot is that of a container or
// of a machine in the same domain.
function zoneOfName (name: string): NetworkZone {
  if (/(?:^|\.)localhost[46]?(?:\.localdomain[46]?)?$/.test(name)) return 'loopback'
  return !name.includes('.') || PRIVATE_SUFFIX.test(name) ? 'private' : 'public'
}

// The second row: top-level domains that private networks use (RFC 6762, appendix G).
const PRIVATE_SUFFIX = new RegExp(`\\.(?:${[
  'local', 'internal', 'home\\.arpa',
  'intranet', 'private', 'corp', 'home', 'lan', 'localdomain'
].join('|')})$`)

// The IANA special-purpose address registries (RFC 6890), as far as they are not reached over the Internet. An IPv6
// address that embeds an IPv4 one counts as that: mapped (RFC 4291, section 2.5.5.2; BlockList does so itself),
// compatible, translated (RFC 2765, section 2.1), and the well-known NAT64 prefix (RFC 6052). Teredo and 6to4 embed one
// too, and are no longer used.
const LOOPBACK = blockList([['127.0.0.0', 8], ['0.0.0.0', 8]], [['::', 127]])
const PRIVATE = blockList(
  [
    ['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['169.254.0.0', 16], ['100.64.0.0', 10],
    ['192.0.0.0', 24], ['198.18.0.0', 15], ['224.0.0.0', 4], ['240.0.0.0', 4]
  ],
  [
    ['fc00::', 7], ['fe80::', 10], ['fec0::', 10], ['ff00::', 8], ['64:ff9b:1::', 48], ['100::', 64], ['2001::', 32],
    ['2002::', 16]
  ]
)

function blockList (ipv4: [string, number][], ipv6: [string, number][]): BlockList {
  const list = new BlockList()
  for (const [network, prefix] of ipv4) {
    list.addSubnet(network, prefix, 'ipv4')
    for (const embedding of ['::', '::ffff:0:', '64:ff9b::']) {
      list.addSubnet(`${embedding}${network}`, 96 + prefix, 'ipv6')
    }
  }
  for (const [network, prefix] of ipv6) list.addSubnet(network, prefix, 'ipv6')
  return list
}
