/** The process that sends the requests. */
import { serve } from '../rpc.ts'
import { logInMany } from './logins.ts'
import { sendRequests } from './requests.ts'
import { sendSteadily } from './steady.ts'

serve({ sendRequests, sendSteadily, logInMany })
