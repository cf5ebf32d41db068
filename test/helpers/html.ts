export { escapeHtml } from '../../lib/pages/html.ts'
export { firstForm, refreshTarget, submitsItself } from '../../lib/testing/html-form.ts'
