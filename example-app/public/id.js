/* global document */
// The person has just pressed "Log out" at the board, so there is nothing left to ask.
document.getElementById('leave').click()
