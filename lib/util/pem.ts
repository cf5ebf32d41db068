/** A text in PEM with its line breaks: variables of the environment often have them escaped. */
export function withLineBreaks (pem: string): string {
  return pem.replaceAll('\\n', '\n')
}
