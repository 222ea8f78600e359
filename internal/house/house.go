// Package house holds the walls between the rooms: what each may import, with the reason.
package house
